"""The tear sheet is one file without a network, holds the account's numbers, and escapes what it is given."""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from gwt_lab.backtest.portfolio import Portfolio
from gwt_lab.errors import ConfigError
from gwt_lab.validation.ledger import TrialLedger
from tests.backtest.markets import by_hand, flags, market, random_signals


def portfolio(**settings) -> Portfolio:
    bars = market(1000, seed=51, holes=0.05)
    entries, exits = random_signals(bars, seed=52, rate=0.03)
    return Portfolio.from_signals(bars, entries, exits, **({"cash_sharing": True, "size": 30.0} | settings))


def without_plotly(page: str) -> str:
    """Return the page without the library that is inlined in it."""
    return re.sub(r"<script>.{1000000,}?</script>", "", page, flags=re.DOTALL)


def body(page: str) -> str:
    return re.search("<main>.*</main>", page, re.DOTALL).group(0)


def test_one_file_that_asks_for_nothing(tmp_path):
    page = portfolio().tearsheet(tmp_path / "sheet.html", title="My <b>strategy</b>")
    assert (tmp_path / "sheet.html").read_text(encoding="utf-8") == page
    own = without_plotly(page)
    assert len(own) < len(page) / 2
    assert not re.search(r"(src|href)=|https?://|@import", own)
    assert page.count('Plotly.newPlot("figure"') == 1
    assert "My &lt;b&gt;strategy&lt;/b&gt;" in own
    ET.fromstring(body(page).replace(" class=n", ' class="n"'))  # every tag is closed


def test_it_holds_what_the_result_says():
    pf = portfolio()
    text = html.unescape(re.sub("<[^>]+>", "|", body(pf.tearsheet())))
    assert f"{100 * pf.total_return():.2f} %" in text
    for part in str(pf.assumptions).split("; "):
        assert part in text
    for label in pf.stats().index:
        assert label in text
    for heading in ("Returns by month", "Deepest drawdowns", "Worst trades", "What was not traded", "Data"):
        assert heading in text
    assert f"{pf.drawdowns['drawdown'].min() * 100:.2f} %" in text
    missing = int(pf.bars.close.isna().to_numpy().sum())
    assert f"{missing:,} (" in text
    assert pf.bars.content_hash[:16] in text


def test_a_sign_that_hangs_on_ambiguous_bars_stands_on_top():
    bars = by_hand((10, 10, 10, 10), (10, 10, 10, 10), (10, 12, 8, 10.5), (10, 10, 10, 10))
    pf = Portfolio.from_signals(bars, flags(bars, 0), sl_stop=0.1, tp_stop=0.1, fees=0, slippage=0)
    page = body(pf.tearsheet())
    assert "The sign of the total return depends on what happened inside 1 bar" in page
    assert "ambiguous bars" not in body(portfolio().tearsheet())


def test_trials_are_told_if_given(tmp_path):
    page = body(portfolio().tearsheet(trials={"n_trials": 1200, "effective_trials": 37.5}))
    assert "configurations tried" in page
    assert "1,200" in page
    assert "37.5" in page
    assert "configurations tried" in body(portfolio().tearsheet(trials=TrialLedger(tmp_path / "ledger.sqlite")))
    with pytest.raises(ConfigError, match="trials must tell n_trials"):
        portfolio().tearsheet(trials=3)


def test_a_sheet_without_trades_or_losses_is_a_sheet():
    bars = market(50, seed=1, symbols=["A/USDT"])
    pf = Portfolio.from_signals(bars, pd.Series(False, bars.index))
    assert "no entry signal or order at all" in pf.tearsheet()


def test_a_given_benchmark_is_drawn_and_counted():
    pf = portfolio()
    prices = pd.Series(np.linspace(100, 150, pf.bars.n_times), pf.bars.index)
    assert "50.00 %" in body(pf.tearsheet(benchmark=prices))


def test_several_accounts_are_refused():
    with pytest.raises(ConfigError, match="one account, there are 2"):
        portfolio(cash_sharing=False).tearsheet()
