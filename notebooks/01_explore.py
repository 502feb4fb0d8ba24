# %% [markdown]
# # Explore: from bars to a backtest
#
# One pass through the lab on a synthetic market whose truth is known: make bars, check them, compute features, look at
# the market graph, trade what it says, and compare with the best that could be reached.
#
# Every time is a bar's **open time**, UTC. Whatever is computed *at t* uses bars up to and including *t*; it is traded
# at the **open of t + 1**.

# %%
import os

import pandas as pd
import plotly.io as pio

import gwt_lab as gwt

pio.renderers.default = "plotly_mimetype"  # JupyterLab draws it, and the notebook's file stays small
SCALE = os.environ.get("GWT_SCALE", "smoke")
N_BARS = {"smoke": 6_000, "full": 40_000}[SCALE]
print(f"gwt_lab {gwt.__version__}, scale {SCALE}: {N_BARS:,} hourly bars")

# %% [markdown]
# ## Bars
#
# `synthetic_market` plants a lead-lag effect of known strength: the shocks of some symbols move others one bar later.
# Symbols are listed late, the venue has outages, and missing bars stay missing. With bars of your own this cell is
# `bars = gwt.load_bars("catalog name or path")`.

# %%
market = gwt.synthetic_market(
    n_assets=8, n_bars=N_BARS, timeframe="1h", seed=7, spillover=0.05, listings=True, outages=True
)
bars = market.bars
bars

# %% [markdown]
# ## Quality
#
# Each finding says what was seen, where it begins and what to do. Errors would make a backtest wrong; infos are facts
# to know, such as a late listing.

# %%
report = gwt.check_bars(bars)
report

# %% [markdown]
# ## Features
#
# Alpha158 under qlib's names and in qlib's order, one row for each time and symbol. On hourly bars the windows of 5 to
# 60 are hours, not days.

# %%
features = gwt.alpha158(bars)
print(f"{len(features):,} rows, {features.shape[1]} columns")
features[["KMID", "ROC5", "MA20", "STD20"]].dropna().tail(4).round(4)

# %% [markdown]
# No feature may look ahead. `check_causal` computes it again on shortened bars and compares every number. The second
# function below peeks one bar ahead, and is caught by name and time.

# %%
print(gwt.check_causal(gwt.alpha158, bars.tail(300)))
peeking = gwt.check_causal(lambda seen: seen.close[["BTC/USDT"]].shift(-1), bars.tail(300))
peeking.to_frame()

# %% [markdown]
# ## Market graph
#
# Every day a graph is built from the 1,500 bars that had closed: who moves with whom, and who moves first. A graph
# holds only what was known at its time.

# %%
store = gwt.NetworkXGraphStore()
nodes = gwt.graph_features(bars, window=1_500, step=24, store=store, n_leaders=2)
store.asof(bars.index[-1]).plot()

# %% [markdown]
# The planted effects are as weak as real ones, about 0.05 standard deviations a bar, so that many arrows are chance.
# Here the truth is known: this is the share of strongest arrows that were planted, by the length of the window.

# %%
planted = market.truth.graph
for window in (500, 1_500, 4_000):
    weekly = gwt.NetworkXGraphStore()
    gwt.graph_features(bars, window=window, step=168, store=weekly, n_leaders=1)
    arrows = [arrow for time in weekly.times() for arrow in weekly.asof(time).lead_graph.edges]
    share = sum(planted.has_edge(*arrow) for arrow in arrows) / len(arrows)
    print(f"{window:>5,} bars: {share:.0%} of {len(arrows)} arrows were planted")
print(f"   by chance: {planted.number_of_edges() / (bars.n_symbols * (bars.n_symbols - 1)):.0%}")

# %% [markdown]
# ## A backtest
#
# `LEADRET1` is what a symbol's leaders did in the bar that just closed: a forecast of its next return against the
# market. Long the best quarter, short the worst, equal weights; first without costs, then with them.

# %%
from gwt_lab.allocation.signal_rules import rank_weights

forecast = nodes["LEADRET1"].unstack("instrument")[bars.symbols]
weights = pd.DataFrame(rank_weights(forecast, share=0.25), index=bars.index, columns=bars.symbols)
gross = gwt.Portfolio.from_weights(bars, weights, fees=0.0, slippage=0.0)
net = gwt.Portfolio.from_weights(bars, weights, fees=0.0005, slippage=0.0002)
pd.DataFrame({"no costs": gross.stats(), "5 bp fees, 2 bp slippage": net.stats()})

# %%
gross.plot()

# %% [markdown]
# An hourly signal that turns the whole account over every hour pays more in fees than it earns. Trading less often, or
# only where the forecast exceeds the costs, is where the work begins.

# %%
daily = gwt.Portfolio.from_weights(bars, weights, fees=0.0005, slippage=0.0002, rebalance=24)
daily

# %% [markdown]
# ## Against the truth, and against the papers
#
# Nobody can forecast this market better than its own planted expectation does. The first paper claims that
# knowledge-graph features add 2 to 15 % accuracy. One notebook proves neither: `gwt reproduce paper1` trains with and
# without the graph, with a permuted graph as placebo and intervals, `gwt reproduce paper2` does the same for execution,
# and both print each claim beside what was measured.

# %%
from gwt_lab.data.synthetic_score import relative_returns, score_forecast

here, best = score_forecast(forecast, relative_returns(bars.close)), market.truth.score
table = pd.DataFrame({"this forecast": vars(here), "best possible": vars(best)})
table.loc[["accuracy", "accuracy_error", "ic", "ic_error", "n_bars"]].round(4)
