"""The picture of how a sweep's time grows."""

from __future__ import annotations

import pandas as pd

from benchmarks.timing import RESULTS

__all__ = ["draw"]


def draw(table: pd.DataFrame) -> None:
    """Write time against bars x combinations on logarithmic axes, with a line of slope one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    work = table["bars"] * table["combinations"]
    for n_bars, part in table.groupby("bars"):
        axes.plot(work[part.index], part["seconds"], "o-", label=f"{n_bars:,} bars")
    last = table.loc[work.idxmax()]
    ends = [work.min(), work.max()]
    axes.plot(ends, [last["seconds"] * end / work.max() for end in ends], "--", color="grey", label="in proportion")
    axes.set(xscale="log", yscale="log", xlabel="bars x combinations", ylabel="seconds, one thread")
    axes.set_title("Sweep of two moving averages: time grows in proportion to the work")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / "growth.png", dpi=130)
