"""The quality card as a page: every finding is seen, nothing fails, nothing is fetched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gwt_lab.data.quality import check_bars
from gwt_lab.market.bars import Bars
from tests.browser.conftest import Page

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]


def damaged() -> Bars:
    """Bars with a gap, a late listing, a price of zero, a spike, a stuck stretch and a name that looks like HTML."""
    rng = np.random.default_rng(3)
    index = pd.date_range("2021-01-01", periods=400, freq="h", tz="UTC")
    parts = []
    for number, symbol in enumerate(("BTC/USDT", "ETH/USDT", "SOL/USDT", "<B>/USDT")):
        close = 100 * np.exp(rng.normal(0, 0.004, 400).cumsum())
        if number == 0:
            close[200] *= 3
        if number == 1:
            close[300:340] = close[300]
        part = pd.DataFrame({"timestamp": index, "close": close, "open": close, "symbol": symbol})
        part["high"], part["low"], part["volume"] = close * 1.001, close * 0.999, rng.lognormal(2, 1, 400)
        if number == 2:
            part.loc[120, "low"] = 0.0
            part = part.drop(index=range(50, 60))
        parts.append(part[100:] if number == 3 else part)
    return Bars.from_frame(pd.concat(parts))


def test_the_card_shows_every_finding_and_fetches_nothing(page: Page, tmp_path: Path) -> None:
    report = check_bars(damaged())
    assert {"error", "warning", "info"} <= {found.severity for found in report.findings}
    file = report.to_html(tmp_path / "card.html", title="Damaged & <strong>named</strong>")
    page.driver.get(file.as_uri())
    text = " ".join(page.wait("the card", lambda: page.find(".gwtq"))[0].text.split())
    assert "Damaged & <strong>named</strong>" in text
    for found in report.findings:
        for part in (found.check, found.symbol, found.what, found.do):
            assert " ".join(part.split()) in text, (found.check, part)
    assert [entry for entry in page.driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    loaded = page.driver.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert loaded == []
    wide, room = page.driver.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= room
