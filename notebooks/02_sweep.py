# %% [markdown]
# # Sweep: a thousand pairs of averages, and what the best of them is worth
#
# One backtest, read closely; then 1,000 of them at once; then the question that matters: how good does the best of so
# many look when none has skill? The market is synthetic, so the answer is known: its log returns are symmetric about
# zero whatever came before. It was picked among some seventy because its best pair looks tempting, and the grid was
# moved once, so that the optimum does not lie at the edge.
#
# Orders are decided at a bar's close and filled at the **next bar's open**, with fees and slippage.

# %%
import os

import numpy as np
import pandas as pd
import plotly.io as pio

import gwt_lab as gwt

pio.renderers.default = "plotly_mimetype"  # JupyterLab draws it, and the notebook's file stays small
SCALE = os.environ.get("GWT_SCALE", "smoke")
N_BARS = {"smoke": 15_000, "full": 60_000}[SCALE]
COSTS = {"fees": 0.001, "slippage": 0.0005}
print(f"gwt_lab {gwt.__version__}, scale {SCALE}: {N_BARS:,} hourly bars")

# %% [markdown]
# ## Bars
#
# Two thirds of the bars are for searching; the last third is not looked at before the end. With bars of your own:
# `bars = gwt.load_bars("catalog name or path")`.

# %%
market = gwt.synthetic_market(n_assets=3, n_bars=N_BARS, timeframe="1h", seed=10, spillover=0.0)
bars = market.bars.select("BTC/USDT")
seen, unseen = bars.head(2 * N_BARS // 3), bars.tail(N_BARS // 3)
seen

# %% [markdown]
# ## One backtest
#
# Entries and exits are frames of True and False, one column a symbol, decided at each row's close. The words are
# vectorbt's wherever it has them.

# %%
close = seen.close
above = close.rolling(20).mean() > close.rolling(100).mean()
before = above.shift(1, fill_value=False)
entries, exits = above & ~before, ~above & before
pf = gwt.Portfolio.from_signals(seen, entries, exits, **COSTS)
pf

# %%
pf.plot()

# %%
pf.plot_monthly()

# %% [markdown]
# `orders`, `trades`, `positions` and `drawdowns` are tables: `.frame` in plain words, `.records_readable` under
# vectorbt's titles. All of it as one HTML file that needs no network: `pf.tearsheet("sheet.html")`.

# %%
page = pf.tearsheet(title="Averages of 20 and 100 bars")
print(f"the tear sheet has {len(page) / 1e6:.1f} MB")
pf.trades.frame[["entry_timestamp", "exit_timestamp", "exit_kind", "pnl", "return", "status"]].tail(3)

# %% [markdown]
# ## What a bar does not tell
#
# A bar that reaches both the stop and the target does not say which came first. `ambiguity="band"` runs the same
# decisions under the pessimistic, the neutral and the optimistic view. With stop and target half a percent away, an
# hour's usual range, and a new entry whenever the fast average lies above, a few dozen bars move the result; the figure
# shades what they leave open.

# %%
stops = {"sl_stop": 0.005, "tp_stop": 0.005, "ambiguity": "band"}
recent = seen.tail(3_000)
stopped = gwt.Portfolio.from_signals(recent, above.tail(3_000), ~above.tail(3_000), **stops, **COSTS)
stopped.band()

# %%
stopped.plot()

# %% [markdown]
# ## Why was nothing traded?
#
# Entries that rest 10 % below the market for one bar: every entry that was not filled is counted under one reason.

# %%
gwt.Portfolio.from_signals(seen, entries, exits, limit=0.1, **COSTS).why_no_trades()

# %% [markdown]
# ## A thousand pairs
#
# Built-in families run in fused kernels. Every combination is counted in the trial ledger (`GWT_LEDGER`, else
# `data/ledger`), once, however often this cell runs.

# %%
grid = {"fast": range(5, 85, 2), "slow": range(90, 215, 5)}
metrics = ("sharpe_ratio", "total_return", "max_drawdown", "n_trades")
result = gwt.sweep("ma_cross", seen, grid, metrics=metrics, **COSTS)
result

# %% [markdown]
# The highest cell may stand alone. `plateau` asks how good the neighbours are: their median, less a charge for how much
# they differ. Both choices are marked.

# %%
result.heatmap("fast", "slow", "sharpe_ratio")

# %%
plateau = result.plateau("sharpe_ratio")
best, steady = result.best("sharpe_ratio").name, plateau["score"].idxmax()
pd.DataFrame({"the best": result.loc[best], "the plateau's": result.loc[steady]}).round(3)

# %% [markdown]
# ## Your own function
#
# A function names the data it wants; its other parameters are the grid's. `volume_surge` (in `research/`, plain pandas)
# buys a rising bar of unusual volume. A new function is first checked for look-ahead, by cutting the data off.

# %%
from research.volume_surge import volume_surge

own = gwt.sweep(volume_surge, seen, {"window": [12, 24, 48, 96], "times": [1.5, 2.0, 3.0, 4.0]}, **COSTS)
own.heatmap("window", "times", "sharpe_ratio")

# %% [markdown]
# ## How many were tried
#
# The deflated Sharpe ratio is the probability that the true Sharpe ratio is above zero, given that the best of many was
# taken. Neighbouring pairs are nearly the same strategy, so the ledger counts clusters of like returns beside the
# trials themselves. The clusters are the lenient count, since alike is not equal, and all trials the strict one.

# %%
study = gwt.TrialLedger().study(result.study)
study

# %%
choices = {"the best": best, "the plateau's": steady}
for name, (fast, slow, _) in choices.items():
    chosen = gwt.run_backtest(seen, "ma_cross", {"fast": int(fast), "slow": int(slow)}, **COSTS)["portfolio"]
    moves = chosen.returns()
    sharpe = moves.mean() / moves.std()  # of one bar, as the ledger keeps them
    judged = study.deflated_sharpe_ratio(sharpe, len(moves), moves.skew(), moves.kurtosis() + 3)
    print(f"{name} ({fast}, {slow}): {judged}")

# %% [markdown]
# ## The same search where there is nothing to find
#
# The same moves in random order: the rise stays, and whatever averages could have foreseen is gone. How good is the
# best of the 1,000 pairs there? These searches are controls, so the ledger does not count them.

# %%
rng, moves = np.random.default_rng(1), seen.close["BTC/USDT"].pct_change().to_numpy()[1:]
lucky = []
for _ in range(60):
    prices = pd.DataFrame({"BTC/USDT": (1 + rng.permutation(moves)).cumprod()}, index=seen.index[1:])
    found = gwt.sweep("ma_cross", prices, grid, metrics=("sharpe_ratio",), price="close", ledger=False, **COSTS)
    lucky.append(found["sharpe_ratio"].max())
as_good = np.mean(np.array(lucky) >= result["sharpe_ratio"].max())
print(f"the best here {result['sharpe_ratio'].max():.2f}; of shuffled moves {np.median(lucky):.2f} in the middle,")
print(f"{np.quantile(lucky, 0.9):.2f} in one of ten; as good as here in {as_good:.0%} of {len(lucky)}")

# %% [markdown]
# ## On bars that no search has seen

# %%
table = {}
for name, (fast, slow, _) in choices.items():
    for part, chunk in (("seen", seen), ("unseen", unseen)):
        found = gwt.run_backtest(chunk, "ma_cross", {"fast": int(fast), "slow": int(slow)}, **COSTS)
        table[name, part] = found["portfolio"].stats()
rows = ["Total Return [%]", "Benchmark Return [%]", "Max Drawdown [%]", "Total Trades", "Sharpe Ratio"]
pd.DataFrame(table).loc[rows].astype(float).round(2)

# %% [markdown]
# ## vectorbt beside it
#
# `to_vectorbt()` hands the same fills to a real `vectorbt.Portfolio`, for its analytics or as a second opinion.

# %%
theirs = pf.to_vectorbt()
pairs = {
    "total return": (pf.total_return(), theirs.total_return()),
    "Sharpe ratio": (pf.sharpe_ratio(), theirs.sharpe_ratio()),
    "max drawdown": (pf.max_drawdown(), theirs.max_drawdown()),
    "trades": (len(pf.trades), theirs.trades.count()),
}
pd.DataFrame(pairs, index=["gwt_lab", "vectorbt"]).T

# %% [markdown]
# ## What these numbers show, and what not
#
# - They show what the rules would have done on these bars, at these costs, filled at the next open.
# - The best of a thousand looks good because a thousand were tried, on a market that rose. Two counts of the trials
#   give two deflated Sharpe ratios; a result that needs the lenient one is no result.
# - It asks whether the true Sharpe ratio is above zero, and holding passes that in a rising market too. The shuffled
#   moves ask whether the order of the bars mattered; the benchmark whether the strategy was needed at all.
# - A plateau says that a result does not hang on one lucky pair. Neighbours live on the same bars and share their luck.
# - Only what was counted is corrected for. This market was picked for its looks and the grid was moved; no ledger saw
#   that.
# - One split is one look. Whoever searches again after seeing the unseen bars has seen them.
# - The synthetic market says nothing about a real one; on real bars the same cells run on `gwt.load_bars(...)`.
