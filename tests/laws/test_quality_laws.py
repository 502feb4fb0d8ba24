"""Laws of the quality checks on hostile data: nothing breaks, nothing is lost, the order of rows is nothing."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gwt_lab.data.quality import CHECKS, REPAIRS, check_bars, repair_bars
from gwt_lab.errors import DataError
from gwt_lab.market.bars import FIELDS
from tests.oracles.quality_market import SYMBOLS, clean_frame

FAST = settings(max_examples=15, deadline=None)
HOSTILE = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True, width=64), st.sampled_from([0.0, -0.0, 1.0, -1.0, 5e-324, 1e308])
)
CLEAN = clean_frame(n=120, symbols=SYMBOLS[:3])


@st.composite
def hostile_frames(draw):
    """Return a long frame of wild values at times that repeat, jump, mix units or cannot be read."""
    n = draw(st.integers(2, 40))
    frame = pd.DataFrame(draw(hnp.arrays(np.float64, (n, 5), elements=HOSTILE)), columns=list(FIELDS))
    hours = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 60)))
    times = [int(1_600_000_000 // 3600 * 3600 + 3600 * hour) for hour in hours]
    wild = draw(
        st.lists(st.tuples(st.integers(0, n - 1), st.sampled_from(["ms", "off", "text", "none", "iso"])), max_size=5)
    )
    for row, kind in wild:
        seconds = int(1_600_000_000 // 3600 * 3600 + 3600 * hours[row])
        times[row] = {"ms": seconds * 1000, "off": seconds + 11, "text": "soon", "none": None,
                      "iso": pd.Timestamp(seconds, unit="s").isoformat()}[kind]  # fmt: skip
    frame["timestamp"] = pd.Series(times, dtype=object)
    frame["symbol"] = draw(st.lists(st.sampled_from([*SYMBOLS[:3], "", None]), min_size=n, max_size=n))
    return frame


def outcome(function, *arguments, **options):
    """Return what a call returns and "", or None and why it was refused."""
    try:
        return function(*arguments, **options), ""
    except DataError as error:
        return None, str(error)


@FAST
@given(hostile_frames(), st.sampled_from([None, "1h"]))
def test_hostile_rows_give_a_report_or_a_clear_refusal(frame, timeframe):
    before = frame.copy()
    report, refused = outcome(check_bars, frame, timeframe=timeframe, now="2020-09-15")
    pd.testing.assert_frame_equal(frame, before)
    if report is None:
        assert any(why in refused for why in ("readable time and symbol", "pass timeframe='1h'", "no row opens a bar"))
        return
    for found in report.findings:
        assert found.check in CHECKS
        assert found.count >= max(len(found.times), 1)
        assert found.first == (found.times[0] if len(found.times) else None)
        assert found.times.is_monotonic_increasing
        assert found.what
        assert found.do
    assert report.passed == (report.counts()["error"] == 0)
    assert "QualityReport" in repr(report)
    assert report._repr_html_().count("<svg") == len(report.symbols)


@FAST
@given(hostile_frames())
def test_every_repair_together_makes_bars_of_whatever_can_be_read(frame):
    readable, _ = outcome(check_bars, frame, timeframe="1h")
    if readable is None:
        return
    repairs = [name for name in REPAIRS if name != "drop-unfinished"]
    done, refused = outcome(repair_bars, frame, repairs, timeframe="1h")
    if done is None:
        assert "no rows" in refused
        return
    bars, log = done
    rows = {"unreadable-time", "unreadable-symbol", "not-a-number", "mixed-units", "off-grid", "unordered", "duplicate"}
    after = {found.check for found in check_bars(bars, timeframe="1h").findings}
    assert not after & (rows | {"conflicting-duplicate", "partial-bar", "infinite-price", "price-not-positive"})
    assert not after & {"inconsistent-bar", "negative-volume"}
    dropped = sum(entry.count for entry in log.entries if entry.repair.startswith("drop"))
    assert len(bars.to_frame()) <= len(frame) - dropped


@FAST
@given(st.permutations(range(len(CLEAN))), st.integers(0, len(CLEAN) - 1), st.sampled_from(FIELDS[:4]))
def test_the_order_of_rows_changes_nothing_but_the_finding_about_order(order, row, field):
    frame = CLEAN.copy()
    frame.loc[row, field] = -1.0
    shuffled = check_bars(frame.iloc[order])
    key = lambda report: sorted(  # noqa: E731
        (f.check, f.symbol, f.first, f.count, f.severity) for f in report.findings if f.check != "unordered"
    )
    assert key(shuffled) == key(check_bars(frame))
    assert ("price-not-positive", CLEAN["symbol"][row], CLEAN["timestamp"][row], 1, "error") in key(shuffled)


@FAST
@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.integers(20, 100))
def test_the_units_of_price_and_volume_do_not_matter(price, volume, at):
    frame = CLEAN.copy()
    frame.loc[at, ["close", "high"]] *= 2.5
    scaled = frame.copy()
    scaled[list(FIELDS[:4])] *= price
    scaled["volume"] *= volume
    plain, other = check_bars(frame), check_bars(scaled)
    assert [f.to_dict() for f in other.findings if f.check != "inconsistent-bar"] == [
        f.to_dict() for f in plain.findings if f.check != "inconsistent-bar"
    ]
    assert [f.check for f in plain.findings] == ["spike"]
