"""The progress line appears when a sweep lasts, says how fast it is, and leaves logs clean."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest

from gwt_lab.backtest.sweep import collect, sweep
from tests.oracles.paths import random_paths


class Line:
    """Records what a progress line is told."""

    opened: list[tuple[str, int]]
    notes: list[tuple[int, str]]
    closed: int

    def __init__(self, label, total):
        type(self).opened.append((label, total))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        type(self).closed += 1

    def update(self, done, note=""):
        type(self).notes.append((done, note))


@pytest.fixture
def line(monkeypatch):
    Line.opened, Line.notes, Line.closed = [], [], 0
    monkeypatch.setattr(collect, "Progress", Line)
    return Line


def sleepy(close, k):
    time.sleep(0.02)
    return close > k, np.zeros_like(close, dtype=bool)


BARS = random_paths(1, 50, 2)


def test_a_short_sweep_is_silent(line, capfd) -> None:
    sweep(sleepy, BARS, {"k": range(10)}, check=False)
    assert line.opened == []
    assert capfd.readouterr().err == ""


def test_a_long_one_says_how_far_and_how_fast_it_is(line) -> None:
    sweep(sleepy, BARS, {"k": range(80)}, check=False)
    assert line.opened == [("sweep, 2 symbols", 80)]
    assert line.closed == 1
    done, note = line.notes[-1]
    assert 40 < done <= 80
    speed, memory = re.fullmatch(r"([0-9,]+) combinations/s, peak ([0-9,]+) MB", note).groups()
    assert 5 < int(speed.replace(",", "")) < 50
    assert int(memory.replace(",", "")) > 20


def test_it_can_be_asked_for_or_forbidden(line) -> None:
    sweep(sleepy, BARS, {"k": range(3)}, check=False, progress=True)
    assert len(line.opened) == line.closed == 1
    sweep(sleepy, BARS, {"k": range(60)}, check=False, progress=False)
    assert len(line.opened) == 1


def test_a_log_holds_no_line_that_draws_over_itself(capfd) -> None:
    sweep(sleepy, BARS, {"k": range(60)}, check=False)
    told = capfd.readouterr()
    assert told.out == ""
    assert "\r" not in told.err
    assert "\x1b" not in told.err


def test_what_was_read_back_is_not_counted_as_speed(line, tmp_path) -> None:
    sweep(sleepy, BARS, {"k": range(20)}, check=False, resume=tmp_path / "x")
    meter = collect.SweepLine(["A"], 1000, True)
    with meter:
        meter.found(900)
        time.sleep(0.2)
        meter.advance(10)
    assert line.notes[-1][0] == 910
    assert int(re.match("[0-9,]+", line.notes[-1][1])[0].replace(",", "")) <= 50
