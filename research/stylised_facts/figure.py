"""One figure: eight stylised facts of the synthetic market, beside real bars where there are some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from research.stylised_facts.curves import AGGREGATES, LAGS, WINDOW, Curves, marchenko_pastur
from research.stylised_facts.facts import BANDS

__all__ = ["draw"]

_COLOURS = ("#1f5fa8", "#d1622b", "#3b8f5a", "#7b4fa3")
_GREY = "#777777"
_LEADS = (-24, -18, -12, -9, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 9, 12, 18, 24)


def draw(markets: dict[str, Curves], folder: Path) -> Path:
    """Draw the facts of each market and write `stylised_facts.png` and `.pdf`.

    Parameters
    ----------
    markets : dict of Curves
        By the name that the legend shows; at most four.
    folder : Path
        Where to write; made if it is not there.

    Returns
    -------
    Path
        The PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.2, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 4).ravel()
    for axes, paint in zip(panels, _PANELS, strict=True):
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        for colour, (name, curves) in zip(_COLOURS, markets.items(), strict=False):
            paint(axes, curves, colour, name)
        title = axes.get_title()
        axes.set_title("")
        axes.set_title(title, fontsize=9.5, loc="left", fontweight="bold")
        axes.xaxis.label.set_size(8.5)
        axes.yaxis.label.set_size(8.5)
    handles, labels = panels[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "stylised_facts.pdf", metadata={"CreationDate": None})
    figure.savefig(folder / "stylised_facts.png", dpi=160)
    return folder / "stylised_facts.png"


def _spread(axes: Any, x: Any, values: np.ndarray, colour: str, name: str) -> None:
    """Draw the median over symbols and shade from the 10 % to the 90 % quantile; `values` has a row for each x."""
    low, middle, high = np.nanquantile(values, (0.1, 0.5, 0.9), axis=1)
    axes.plot(x, middle, color=colour, lw=1.6, marker="o", ms=2.5, label=name)
    axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)


def _tail(axes: Any, curves: Curves, colour: str, name: str) -> None:
    from scipy.stats import norm

    points = np.geomspace(0.5, 30, 60)
    share = curves.tail(points)
    axes.loglog(points[share > 0], share[share > 0], color=colour, lw=1.6, label=name)
    if not axes.get_title():
        axes.loglog(points, np.maximum(2 * norm.sf(points), 1e-12), color=_GREY, ls="--", lw=1)
        axes.annotate("Gaussian", (2.9, 3e-4), fontsize=8, color=_GREY, ha="right")
        axes.loglog(points, 0.35 * points**-3.0, color=_GREY, ls=":", lw=1)
        axes.annotate("power 3", (10, 8e-4), fontsize=8, color=_GREY)
    axes.set(ylim=(5e-7, 1), xlim=(0.5, 40), title="Heavy tails", xlabel="|r|, standard deviations", ylabel="P(larger)")


def _kurtosis(axes: Any, curves: Curves, colour: str, name: str) -> None:
    _spread(axes, AGGREGATES, curves.kurtosis, colour, name)
    if not axes.get_title():
        axes.axhline(3, color=_GREY, ls="--", lw=1)
        axes.annotate("Gaussian", (AGGREGATES[0], 3.15), fontsize=8, color=_GREY)
    axes.set(xscale="log", yscale="log", title="Calmer when added up", xlabel="bars in a return", ylabel="kurtosis")
    axes.set_xticks(AGGREGATES, [str(count) for count in AGGREGATES])
    axes.set_yticks([3, 5, 10, 20, 50, 100], ["3", "5", "10", "20", "50", "100"])
    axes.minorticks_off()


def _memory(axes: Any, curves: Curves, colour: str, name: str) -> None:
    lags = tuple(range(1, 25))
    _spread(axes, lags, curves.autocorrelation(lags), colour, name)
    if not axes.get_title():
        band = BANDS["memory of r"]
        axes.axhspan(band.low, band.high, color=_GREY, alpha=0.1, lw=0)
        axes.axhline(0, color=_GREY, lw=0.8)
    axes.set(ylim=(-0.2, 0.2), title="No memory of returns", xlabel="lag, bars", ylabel="autocorrelation of r")


def _clustering(axes: Any, curves: Curves, colour: str, name: str) -> None:
    _spread(axes, LAGS, curves.size_autocorrelation(), colour, name)
    axes.set(xscale="log", title="Long memory of size", xlabel="lag, bars", ylabel="autocorrelation of |r|")
    axes.set_xticks([1, 4, 24, 168], ["1", "4", "24", "168"])
    axes.minorticks_off()
    axes.set_ylim(-0.02, 0.42)


def _leverage(axes: Any, curves: Curves, colour: str, name: str) -> None:
    values = curves.leverage(_LEADS)
    values[_LEADS.index(0)] = np.nan
    keep = np.isfinite(values).all(axis=1)
    x = np.array(_LEADS)
    for side in (x < 0, x > 0):
        _spread(axes, x[keep & side], values[keep & side], colour, name)
    if not axes.get_title():
        axes.axhline(0, color=_GREY, lw=0.8)
        axes.axvline(0, color=_GREY, lw=0.8, ls=":")
    axes.set(ylim=(-0.16, 0.16), title="Leverage", xlabel="k, bars", ylabel="corr( r[t], |r[t+k]| )")


def _spectrum(axes: Any, curves: Curves, colour: str, name: str) -> None:
    values = np.concatenate([week / len(week) for week in curves.spectra])
    size = float(np.mean([len(week) for week in curves.spectra]))
    edges = np.geomspace(0.002, 1, 40)
    axes.hist(values, bins=edges, color=colour, alpha=0.35, weights=np.full(len(values), 1 / len(curves.spectra)))
    low, high, _ = marchenko_pastur(size / WINDOW, 1 - float(np.median(curves.market_share)))
    for edge in (low, high):
        axes.axvline(edge / size, color=colour, ls="--", lw=1)
    axes.set(
        xscale="log",
        xlim=(0.002, 1.1),
        title="One market, a few sectors, noise",
        xlabel="eigenvalue / symbols; noise between dashes",
        ylabel="eigenvalues a week",
    )
    axes.set_xticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])


def _volume(axes: Any, curves: Curves, colour: str, name: str) -> None:
    edges = np.geomspace(0.05, 20, 25)
    axes.loglog(np.sqrt(edges[1:] * edges[:-1]), curves.volume_by_size(edges), color=colour, lw=1.6, marker="o", ms=2.5)
    axes.set(title="Volume follows size", xlabel="|r| / median", ylabel="traded value / median")
    axes.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
    axes.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
    axes.minorticks_off()


def _clock(axes: Any, curves: Curves, colour: str, name: str) -> None:
    _spread(axes, np.arange(24), curves.by_hour, colour, name)
    if not axes.get_title():
        axes.axhline(1, color=_GREY, lw=0.8)
    axes.set(title="The clock", xlabel="hour of the day, UTC", ylabel="mean |r| / mean", xticks=[0, 6, 12, 18, 23])


_PANELS = (_tail, _kurtosis, _memory, _clustering, _leverage, _spectrum, _volume, _clock)
