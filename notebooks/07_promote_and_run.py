# %% [markdown]
# # Promote and run: from a backtest to the runner
#
# A strategy leaves the lab through gates. This notebook trains one, lets the gates judge it, signs it as a bundle and
# hands the bundle to the runner, which decides bar by bar and must decide as the backtest did, bit for bit.
#
# The market is synthetic with a planted lead-lag, strong enough to pay for trading every hour at 1 bp. Real bars are
# `gwt.load_bars("catalog name or path")`, and the gates then usually refuse.

# %%
import os
from pathlib import Path
from tempfile import mkdtemp

import plotly.io as pio

import gwt_lab as gwt

pio.renderers.default = "plotly_mimetype"  # JupyterLab draws it, and the notebook's file stays small
SCALE = os.environ.get("GWT_SCALE", "smoke")
N_BARS = {"smoke": 3_000, "full": 20_000}[SCALE]
for place in ("RUNS", "BUNDLES", "KEYS", "LIVE"):  # leave nothing behind; without this they lie in data/
    os.environ.setdefault(f"GWT_{place}", mkdtemp())
print(f"gwt_lab {gwt.__version__}, scale {SCALE}: {N_BARS:,} hourly bars")

# %% [markdown]
# ## Train
#
# The first 70 % of the bars train a model, the rest is kept to judge it. The strategy is one frozen object: features of
# the market graph, a LightGBM model as text, and ranks that become target weights.

# %%
from gwt_lab.strategies.forecast_rank import train_forecast_rank

market = gwt.synthetic_market(n_assets=12, n_bars=N_BARS, seed=7, spillover=0.25)
cut = int(0.7 * N_BARS)
strategy = train_forecast_rank(market.bars.head(cut), every=1, graph_window=400, graph_step=24)
strategy

# %% [markdown]
# ## Backtest
#
# Weights are decided at a bar's close and filled at the next open; what a result rests on is printed with it.

# %%
from gwt_lab.market.costs import CostModel

costs = CostModel(fees=0.0001, slippage=0.0001)
judged = market.bars.select(start=market.bars.index[cut])
weights = strategy.weights(market.bars).loc[judged.index]
portfolio = gwt.Portfolio.from_weights(judged, weights, costs=costs)
portfolio

# %%
doubled = gwt.Portfolio.from_weights(judged, weights, costs=costs.times(2))
print(f"{100 * doubled.total_return():.1f} % at doubled costs, {100 * portfolio.total_return():.1f} % at these")
doubled.plot()

# %% [markdown]
# ## Validate
#
# Two gates. *causal*: cut the bars short, change their future, keep only the declared memory, and no decision may
# change. *doubled_costs*: the judged part must still earn when fees and slippage are doubled.

# %%
from gwt_lab.promotion.gates import validate

verdict = validate(strategy, market.bars, costs=costs, out_of_sample=judged.index[0])
verdict

# %% [markdown]
# The same strategy at a taker's usual costs is refused, and there is no way around it.

# %%
refused = validate(strategy, market.bars, costs=CostModel(fees=0.001, slippage=0.0005), out_of_sample=judged.index[0])
try:
    gwt.promote(refused)
except gwt.GwtLabError as error:
    print(f"{type(error).__name__}: {error}")

# %% [markdown]
# ## Promote
#
# A bundle is a folder of text and JSON: strategy, model, costs, what the gates said, hashes of the data, recent bars
# with their decisions, and a signature over all of it. It holds no pickle and no code.

# %%
bundle = gwt.promote(verdict)
bundle

# %%
for file in sorted(bundle.path.iterdir()):
    print(f"{file.name:14} {file.stat().st_size:>9,} bytes")

# %% [markdown]
# The signature is verified before anything inside is read. One changed character, and the bundle is not opened.

# %%
document = Path(bundle.path) / "bundle.json"
text = document.read_text()
document.write_text(text.replace('"every":1', '"every":2'))
try:
    gwt.Bundle.load(bundle.path)
except gwt.GwtLabError as error:
    print(f"{type(error).__name__}: {error}")
document.write_text(text)
loaded = gwt.Bundle.load(bundle.path)

# %% [markdown]
# ## Run
#
# The runner first decides the bundle's own bars anew and compares. Then it steps through the bars that are given, on a
# paper account that uses the backtest's fill rule. Every intent is on the disk before its order is filled.

# %%
from gwt_lab.live.replay import replay

recent = market.bars.tail(loaded.document["lookback"] + 96)
report = replay(loaded, recent)
report

# %%
backtest = gwt.Portfolio.from_weights(recent, strategy.weights(recent), costs=loaded.costs)
equal = int((backtest.value() == report.equity).sum())
print(f"{equal} of {len(report.equity)} account values equal to the last bit")
report.fills.tail(4)

# %%
from gwt_lab.live.journal import read_journal

for entry in read_journal(report.journal)[-4:]:
    print(entry["seq"], entry["kind"], str(entry)[:96])

# %% [markdown]
# From a shell the same way is `gwt backtest`, `gwt validate RUN`, `gwt promote RUN` and
# `gwt trade BUNDLE --paper --replay`.
