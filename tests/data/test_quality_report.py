"""The report: order, verdict, table, text, card and page."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from gwt_lab.data.quality import CHECKS, Finding, check_bars
from gwt_lab.data.quality.card import report_page
from gwt_lab.errors import CatalogError
from gwt_lab.market.bars import Bars
from tests.oracles.quality_market import SYMBOLS, clean_frame, hour, rows_of

CLEAN = clean_frame(n=300)
ETH = "ETH/USDT"


def broken():
    frame = CLEAN.copy()
    frame.loc[rows_of(frame, ETH, 50, 52), "low"] = -1.0
    frame.loc[rows_of(frame, "SOL/USDT", 60, 61), "volume"] = 0.0
    return frame.drop(index=[*rows_of(frame, "ADA/USDT", 0, 30), *rows_of(frame, "XRP/USDT", 100, 110)])


REPORT = check_bars(broken())


def test_errors_come_first_and_decide():
    assert [(f.severity, f.check) for f in REPORT.findings] == [
        ("error", "price-not-positive"), ("warning", "gap"), ("warning", "zero-volume"), ("info", "listing"),
    ]  # fmt: skip
    assert not REPORT.passed
    assert REPORT.errors == REPORT.findings[:1]
    assert REPORT.warnings == REPORT.findings[1:3]
    assert REPORT.counts() == {"error": 1, "warning": 2, "info": 1}
    only_warnings = check_bars(broken().query("symbol != @ETH"))
    assert only_warnings.passed
    assert only_warnings.counts()["warning"] == 2


def test_table():
    table = REPORT.to_frame()
    assert table.columns.tolist() == ["severity", "check", "symbol", "first", "count", "what", "do"]
    assert table["count"].tolist() == [2, 10, 1, 30]
    assert table["first"].tolist() == [hour(50), hour(100), hour(60), hour(0)]
    assert str(table["first"].dtype) == "datetime64[ns, UTC]"
    empty = check_bars(CLEAN).to_frame()
    assert len(empty) == 0
    assert empty.columns.tolist() == table.columns.tolist()


def test_text():
    lines = repr(REPORT).splitlines()
    assert lines[0] == (
        "QualityReport(failed: 1 error, 2 warnings, 1 info; 6 symbols, 1,760 rows of 1h, 2021-03-01 00:00 to "
        "2021-03-13 11:00 UTC)"
    )
    assert len(lines) == 5
    assert re.match(r"  error    price-not-positive  ETH/USDT  2021-03-03 02:00   2  the first bar has open", lines[1])
    many = broken().assign(low=-1.0)
    extra = [f"C{n}/USDT" for n in range(60)]
    frame = pd.concat([many[many["symbol"] == ETH].assign(symbol=name) for name in extra])
    assert "more: .to_frame()" in repr(check_bars(frame)).splitlines()[-1]


def test_plain_values():
    document = json.loads(json.dumps(REPORT.to_dict(), allow_nan=False))
    assert document["passed"] is False
    assert document["findings"][0]["first"] == "2021-03-03T02:00:00+00:00"
    assert "times" not in document["findings"][0]


def test_a_finding_is_frozen_and_names_its_bars():
    found = REPORT.findings[0]
    assert isinstance(found, Finding)
    assert found.times.tolist() == [hour(50), hour(51)]
    with pytest.raises(AttributeError):
        found.count = 3


def test_coverage_is_the_share_of_bars_in_each_part():
    coverage = REPORT.coverage
    assert coverage.columns.tolist() == list(SYMBOLS)
    assert len(coverage) == 240
    present = Bars.from_frame(broken()).close.notna()
    weights = np.diff([*present.index.get_indexer(coverage.index), len(present)])
    pd.testing.assert_series_equal(
        (coverage * weights[:, None]).sum(), present.sum().astype(float), check_names=False, rtol=1e-12
    )
    assert coverage["ADA/USDT"].iloc[:20].max() == 0
    assert len(check_bars(CLEAN.query("timestamp < @hour(5)")).coverage) == 5


# ------------------------------------------------------------------------------------------------ card and page
class _Page(HTMLParser):
    """Reads a page: balanced tags, its text, and whatever it would load."""

    def __init__(self, page):
        super().__init__()
        self.open, self.text, self.loads, self.tags, self.rects = [], [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        self.loads += [values[name] for name in ("src", "href") if name in values]
        if tag == "rect":
            self.rects.append(values)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "rect":
            self.rects.append(dict(attrs))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_whole_and_needs_no_other_file(tmp_path):
    path = REPORT.to_html(tmp_path / "report.html", title="binance 1h")
    text = path.read_text(encoding="utf-8")
    page = _Page(text)
    assert page.open == []
    assert page.loads == []
    assert "url(" not in text
    assert "@import" not in text
    assert "script" not in page.tags
    assert page.tags.count("svg") == 6
    said = " ".join(page.text)
    for wanted in ("binance 1h", "failed", "1 error", "2 warnings", "price-not-positive", "96.67 %", "100 %"):
        assert wanted in said
    assert "prefers-color-scheme:dark" in text


def test_the_strips_show_holes_and_marks_where_they_are():
    page = _Page(report_page(REPORT, "x"))
    ticks = [rect for rect in page.rects if rect["fill"] == "var(--error)"]
    assert len(ticks) == 1
    # bars 50 and 51 of 300, on a strip of 240 parts
    assert float(ticks[0]["x"]) == pytest.approx(50 * 240 / 300, abs=1)
    assert 1 <= float(ticks[0]["width"]) <= 3.5
    ada = [rect for rect in page.rects if rect["fill"] == "var(--good)" and rect["x"] == "24"]
    assert ada  # 30 of 300 bars before its listing are 24 of 240 parts


def test_names_are_escaped(tmp_path):
    frame = broken().assign(symbol=lambda f: f["symbol"].replace(ETH, "<script>alert(1)</script>"))
    report = check_bars(frame)
    page = report_page(report, title="<img src=x onerror=alert(1)>")
    assert "<script" not in page.lower()
    assert "<img" not in page.lower()
    assert "&lt;SCRIPT&gt;" in page
    assert "<script" not in report._repr_html_().lower()


def test_equal_findings_of_many_symbols_are_one_row_of_the_card():
    report = check_bars(CLEAN, now=hour(299) + pd.Timedelta("1min"))
    assert len(report.findings) == 6
    page = _Page(report._repr_html_())
    assert page.tags.count("tr") == 2  # titles and one row
    assert "ADA/USDT, BTC/USDT, DOT/USDT and 3 more" in " ".join(page.text)


def test_a_clean_card_says_none():
    text = " ".join(_Page(check_bars(CLEAN)._repr_html_()).text)
    assert "passed" in text
    assert "none" in text


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(CatalogError, match=r"cannot be written to .*: No such file or directory; choose"):
        REPORT.to_html(tmp_path / "no" / "such" / "folder.html")


def test_every_check_is_described_in_the_documentation():
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "quality.md").read_text(encoding="utf-8")
    for name, what in CHECKS.items():
        assert f"| `{name}` | {what} | " in page, f"docs/quality.md lacks the row of {name}"
