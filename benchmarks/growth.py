"""The picture of how a time grows with the work."""

from __future__ import annotations

import pandas as pd

from benchmarks.timing import RESULTS

__all__ = ["draw"]


def draw(table: pd.DataFrame, name: str, title: str, work: str) -> None:
    """Write time against work on logarithmic axes, with a line of slope one, to `results/<name>.png`.

    Parameters
    ----------
    table : DataFrame
        Columns work, seconds, and label: a line each.
    name, title, work : str
        Of the file, the figure and the horizontal axis.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for label, part in table.groupby("label", sort=False):
        axes.plot(part["work"], part["seconds"], "o-", label=label)
    last = table.loc[table["work"].idxmax()]
    ends = [table["work"].min(), table["work"].max()]
    line = [last["seconds"] * end / last["work"] for end in ends]
    axes.plot(ends, line, "--", color="grey", label="in proportion")
    axes.set(xscale="log", yscale="log", xlabel=work, ylabel="seconds, one thread")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / f"{name}.png", dpi=130)
