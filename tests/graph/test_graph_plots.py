"""The figure of a market graph shows its edges, their direction and their sign."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gwt_lab.graph.market_graph import MarketGraph

SYMBOLS = ("A/USDT", "B/USDT", "C/USDT")


def graph() -> MarketGraph:
    correlation = np.zeros((3, 3))
    correlation[0, 1] = correlation[1, 0] = 0.4
    leads = np.zeros((3, 3))
    leads[2, 0] = 0.2  # C follows A the same way
    leads[1, 2] = -0.1  # B follows C against it
    return MarketGraph(pd.Timestamp("2021-01-02 03:00", tz="UTC"), SYMBOLS, correlation, leads, np.ones(3))


def test_an_arrow_runs_from_leader_to_follower_and_tells_the_sign() -> None:
    figure = graph().plot()
    places = {
        name: np.array([x, y])
        for trace in figure.data
        if trace.mode == "markers+text"
        for name, x, y in zip(trace.text, trace.x, trace.y, strict=True)
    }
    assert set(places) == {"A", "B", "C"}
    arrows = []
    for arrow in figure.layout.annotations:
        tail, head = np.array([arrow.ax, arrow.ay]), np.array([arrow.x, arrow.y])
        nearest = [min(places, key=lambda name: float(np.linalg.norm(places[name] - end))) for end in (tail, head)]
        arrows.append((*nearest, arrow.arrowcolor, arrow.arrowwidth))
    (against, same) = sorted(arrows, key=lambda arrow: arrow[3])
    assert same[:2] == ("A", "C")
    assert against[:2] == ("C", "B")
    assert same[2] != against[2]


def test_lines_join_what_moves_together_and_the_title_says_when_it_was_known() -> None:
    figure = graph().plot()
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert [line.text for line in lines] == ["A/USDT with B/USDT: 0.40"]
    assert "2021-01-02 03:00 UTC" in figure.layout.title.text


def test_a_graph_without_edges_is_drawn() -> None:
    empty = MarketGraph(pd.Timestamp("2021-01-01", tz="UTC"), SYMBOLS, np.zeros((3, 3)), np.zeros((3, 3)), np.ones(3))
    figure = empty.plot()
    assert len(figure.layout.annotations) == 0
    sizes = [size for trace in figure.data for size in trace.marker.size]
    assert len(sizes) == 3
    assert np.isfinite(sizes).all()
