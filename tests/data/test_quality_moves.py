"""Spikes, wicks, jumps and redenominations are found; the market's own moves and real moves are not errors."""

import re

import numpy as np
import pandas as pd
import pytest

from gwt_lab.data.quality import check_bars
from gwt_lab.market.bars import Bars
from tests.oracles.quality_market import SYMBOLS, clean_frame, hour, rows_of

CLEAN = clean_frame(n=600)
ETH = "ETH/USDT"
PRICES = ["open", "high", "low", "close"]


def of(report, check):
    return [(f.symbol, f.first, f.count, f.severity) for f in report.findings if f.check == check]


def spiked(factor, length=1, at=200, symbols=(ETH,), volume=1.0):
    """Return the clean frame with closes times `factor` for `length` bars, opens and extremes following."""
    frame = CLEAN.copy()
    for symbol in symbols:
        rows = rows_of(frame, symbol, at, at + length)
        frame.loc[rows, "close"] *= factor
        frame.loc[rows[1:], "open"] *= factor
        frame.loc[rows, "volume"] *= volume
        after = rows_of(frame, symbol, at + length, at + length + 1)
        frame.loc[after, "open"] *= factor
        for touched in (rows, after):
            frame.loc[touched, "high"] = frame.loc[touched, ["open", "high", "close"]].max(axis=1)
            frame.loc[touched, "low"] = frame.loc[touched, ["open", "low", "close"]].min(axis=1)
    return frame


def test_the_clean_market_moves_without_findings():
    assert check_bars(CLEAN).findings == ()
    assert check_bars(clean_frame(n=600, symbols=(ETH,))).findings == ()


# ------------------------------------------------------------------------------------------------ spikes
@pytest.mark.parametrize(
    ("factor", "severity"), [(1.15, "warning"), (0.85, "warning"), (3.0, "error"), (0.1, "error"), (100.0, "error")]
)
@pytest.mark.parametrize("length", [1, 2])
def test_a_tick_that_comes_back(factor, severity, length):
    report = check_bars(spiked(factor, length))
    assert of(report, "spike") == [(ETH, hour(200), length, severity)]
    assert {f.check for f in report.findings} == {"spike"}
    told = re.match(r"a move of ([+-]\d+)% came back", report.findings[0].what)
    assert float(told[1]) == pytest.approx(100 * (factor - 1), rel=0.1)  # the market moved a little too


def test_a_level_of_three_bars_is_no_spike():
    assert of(check_bars(spiked(1.5, length=3)), "spike") == []


def test_a_spike_that_all_symbols_share_is_the_market():
    assert check_bars(spiked(1.15, symbols=SYMBOLS)).findings == ()
    # one that goes further than the others still is one
    frame = spiked(1.15, symbols=SYMBOLS)
    rows = rows_of(frame, ETH, 200, 201)
    frame.loc[rows, ["close", "high"]] *= 1.3
    assert of(check_bars(frame), "spike") == [(ETH, hour(200), 1, "warning")]


def test_a_spike_with_volume_may_be_real():
    assert of(check_bars(spiked(3.0, volume=30.0)), "spike") == [(ETH, hour(200), 1, "info")]


def test_a_single_symbol_needs_others_to_tell_the_market_from_itself():
    shared = spiked(1.15, symbols=SYMBOLS)
    alone = shared[shared["symbol"] == ETH]
    assert of(check_bars(alone), "spike") == [(ETH, hour(200), 1, "warning")]
    rest = Bars.from_frame(shared).select([symbol for symbol in SYMBOLS if symbol != ETH])
    assert check_bars(alone, others=rest).findings == ()
    # others are compared with, not checked, and a symbol is no other to itself
    assert (
        check_bars(CLEAN[CLEAN["symbol"] == ETH], others=Bars.from_frame(spiked(3.0, symbols=SYMBOLS[2:3]))).findings
        == ()
    )


def test_a_spike_beside_a_gap():
    frame = spiked(3.0)
    frame = frame.drop(index=rows_of(frame, ETH, 196, 200))
    assert of(check_bars(frame), "spike") == [(ETH, hour(200), 1, "error")]


def test_a_spike_after_an_outage_in_which_the_market_moved_is_measured_from_the_market():
    frame = CLEAN.copy()
    for symbol in SYMBOLS:  # all fall by 40 % while nothing is traded
        frame.loc[rows_of(frame, symbol, 210), PRICES] *= 0.6
    frame = frame.drop(index=[label for symbol in SYMBOLS for label in rows_of(frame, symbol, 205, 210)])
    assert {f.check for f in check_bars(frame).findings} == {"outage"}


# ------------------------------------------------------------------------------------------------ jumps
def jumped(factor, volume, at=300):
    """Return the clean frame with a move inside bar `at` that stays."""
    frame = CLEAN.copy()
    rows = rows_of(frame, ETH, at, at + 1)
    frame.loc[rows, "close"] *= factor
    frame.loc[rows_of(frame, ETH, at + 1), PRICES] *= factor
    frame.loc[rows, "high"] = frame.loc[rows, PRICES].max(axis=1)
    frame.loc[rows, "low"] = frame.loc[rows, PRICES].min(axis=1)
    frame.loc[rows_of(frame, ETH, at, at + 6), "volume"] *= volume
    return frame


@pytest.mark.parametrize("factor", [np.exp(0.5), np.exp(-0.5), 2.0, 0.5, 10.0])
def test_a_real_move_with_volume_is_no_more_than_a_fact(factor):
    report = check_bars(jumped(factor, volume=20.0))
    assert of(report, "jump") == [(ETH, hour(300), 1, "info")]
    assert {f.check for f in report.findings} == {"jump"}


def test_the_same_move_without_volume_is_to_be_looked_at():
    report = check_bars(jumped(np.exp(0.5), volume=1.0))
    assert of(report, "jump") == [(ETH, hour(300), 1, "warning")]
    assert report.passed


# ------------------------------------------------------------------------------------------------ wicks
@pytest.mark.parametrize(("field", "factor"), [("high", 1.5), ("low", 0.5)])
def test_an_extreme_far_beyond_the_closes(field, factor):
    frame = CLEAN.copy()
    rows = rows_of(frame, ETH, 200, 201)
    frame.loc[rows, field] *= factor
    assert of(check_bars(frame), "wick") == [(ETH, hour(200), 1, "warning")]
    frame.loc[rows, "volume"] *= 30
    assert of(check_bars(frame), "wick") == [(ETH, hour(200), 1, "info")]


def test_a_flash_crash_of_all_is_no_wick():
    frame = CLEAN.copy()
    for symbol in SYMBOLS:
        frame.loc[rows_of(frame, symbol, 200, 201), "low"] *= 0.7
    assert check_bars(frame).findings == ()


# ------------------------------------------------------------------------------------------------ redenominations
def redenominated(factor, at=300, volume=True):
    """Return the clean frame with prices times `factor` from bar `at` on and, if said, volumes over it."""
    frame = CLEAN.copy()
    rows = rows_of(frame, ETH, at)
    frame.loc[rows, PRICES] *= factor
    if volume:
        frame.loc[rows, "volume"] /= factor
    return frame


@pytest.mark.parametrize("factor", [1000.0, 1 / 1000, 10.0, 0.1, 100.0, 1 / 1e6, 2.0, 0.25, 5.0])
def test_a_new_unit(factor):
    report = check_bars(redenominated(factor))
    assert of(report, "redenomination") == [(ETH, hour(300), 1, "error")]
    assert {f.check for f in report.findings} == {"redenomination"}
    text = f"times {factor:,.0f}" if factor > 1 else f"to 1 in {1 / factor:,.0f}"
    assert text in report.findings[0].what


def test_two_new_units_are_two_findings():
    frame = redenominated(1000.0)
    rows = rows_of(frame, ETH, 450)
    frame.loc[rows, PRICES] /= 10
    frame.loc[rows, "volume"] *= 10
    assert of(check_bars(frame), "redenomination") == [(ETH, hour(300), 1, "error"), (ETH, hour(450), 1, "error")]


def test_a_level_without_the_inverse_volume_is_a_jump():
    report = check_bars(redenominated(10.0, volume=False))
    assert of(report, "redenomination") == []
    assert of(report, "jump") == [(ETH, hour(300), 1, "warning")]


def test_closes_alone_show_large_factors():
    closes = redenominated(1000.0).pivot(index="timestamp", columns="symbol", values="close")
    assert of(check_bars(closes, price="close"), "redenomination") == [(ETH, hour(300), 1, "error")]


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_crash_or_pump_by_a_round_factor_with_volume_is_none(factor):
    # halved, with twice the volume after it: the volume of a split, but the move was traded inside a bar
    frame = jumped(factor, volume=1.0)
    frame.loc[rows_of(frame, ETH, 300), "volume"] /= factor
    assert of(check_bars(frame), "redenomination") == []


def test_a_move_that_comes_back_is_no_new_unit():
    assert of(check_bars(spiked(10.0, length=2)), "redenomination") == []


# ------------------------------------------------------------------------------------------------ synthetic markets
@pytest.mark.parametrize(
    "settings", [{"seed": 7}, {"seed": 5, "n_assets": 3, "timeframe": "5m"}, {"seed": 2, "timeframe": "1d"}]
)
def test_a_synthetic_market_has_no_errors_and_no_warnings(settings):
    from gwt_lab.data.synthetic import synthetic_market

    report = check_bars(synthetic_market(n_bars=4000, **settings).bars)
    assert report.errors == ()
    assert report.warnings == ()


def test_planted_listings_and_outages_are_the_only_findings_of_a_synthetic_market():
    from gwt_lab.data.synthetic import synthetic_market

    report = check_bars(synthetic_market(n_bars=6000, seed=3, listings=True, outages=True).bars)
    assert {f.check for f in report.findings} <= {"gap", "outage", "listing", "delisting"}
    assert pd.Series([f.check for f in report.findings]).nunique() >= 3
