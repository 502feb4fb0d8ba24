"""Interactive figures of backtests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gwt_lab.backtest import matching as at
from gwt_lab.errors import UnknownNameError
from gwt_lab.market.time import timeframe_ns

if TYPE_CHECKING:
    from gwt_lab.backtest.results import Results

__all__ = ["plot_equity", "plot_monthly"]

# colours that read on white and on black
_ACCOUNT, _BENCHMARK, _LOSS, _GAIN, _EXPOSURE = "#3b82f6", "#8a94a3", "#e5484d", "#2a9d6f", "#a371f7"
_SEVERAL = (_ACCOUNT, "#f0883e", _GAIN, _EXPOSURE, "#db61a2", "#d4a72c", "#39c5cf", _LOSS)
_INK, _GRID = "#7d8590", "rgba(128,128,128,0.18)"
# lines of more points than this are thinned to the extremes of that many stretches
_MOST_POINTS, _STRETCHES = 20_000, 4_000
_MILLIONS = 1e6
_MOST_TRADES, _MOST_ACCOUNTS = 2_000, 20


def plot_equity(result: Results, *, benchmark: Any = True, symbol: str | None = None) -> Any:
    """Draw an account's worth beside holding, its drawdown, its trades on the price, and its exposure.

    Parameters
    ----------
    result : Portfolio
        Of several accounts, the worth and drawdown of the first 20 are drawn and no trades.
    benchmark : bool or Series
        Draw the same cash held in equal parts of every symbol, bought at its first close and never traded, as well; or
        a Series of prices instead. It pays no costs.
    symbol : str, optional
        Whose price and trades are drawn; that of the most traded value if not given.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    UnknownNameError
        If the account does not trade the symbol.
    """
    from plotly.subplots import make_subplots

    several = result.n_accounts > 1
    heights = [0.6, 0.25, 0.15] if several else [0.4, 0.16, 0.3, 0.14]
    figure = make_subplots(len(heights), 1, shared_xaxes=True, row_heights=heights, vertical_spacing=0.035)
    _draw_worth(figure, result, benchmark)
    if not several:
        _draw_price(figure, result, _column_of(result, symbol))
    exposure = 100 * result.gross_exposure_values()[:, :_MOST_ACCOUNTS].mean(axis=1)
    filled = {"fill": "tozeroy", "fillcolor": "rgba(163,113,247,0.3)", "showlegend": False}
    figure.add_trace(_line(result, exposure, "exposure", _EXPOSURE, 1.0, means=True) | filled, row=len(heights), col=1)
    figure.update_yaxes(title_text="exposure, %", rangemode="tozero", row=len(heights), col=1)
    _dress(figure, result)
    return figure


def _dress(figure: Any, result: Results) -> None:
    title = ", ".join(f"{name} {value}" for name, value in result._headline())
    figure.update_xaxes(type="date", gridcolor=_GRID, zeroline=False, linecolor=_GRID)
    figure.update_yaxes(gridcolor=_GRID, zerolinecolor=_GRID, title_font={"size": 11}, tickfont={"size": 11})
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": _INK, "family": "system-ui,sans-serif", "size": 12},
        title={
            "text": title[0].upper() + title[1:],
            "x": 0.0,
            "xref": "paper",
            "font": {"size": 15},
            "subtitle": {"text": _terms(result)},
        },
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": _INK, "activecolor": _ACCOUNT},
        hovermode="x unified",
        hoverlabel={"bgcolor": "rgba(30,34,40,0.92)", "font": {"color": "#e6e8eb"}},
        height=820 if result.n_accounts == 1 else 640,
        margin={"l": 62, "r": 16, "t": 96, "b": 36},
        legend={
            "orientation": "h",
            "traceorder": "normal",
            "y": 1.0,
            "x": 1.0,
            "xanchor": "right",
            "yanchor": "bottom",
            "font": {"size": 11},
        },
    )


def _terms(result: Results) -> str:
    """Return when orders are filled and at what cost, short enough for a line below the title."""
    told = str(result.assumptions).split("; ")
    return "; ".join(told[:2])


# ------------------------------------------------------------------------------------------------ rows
def _draw_worth(figure: Any, result: Results, benchmark: Any) -> None:
    several = result.n_accounts > 1
    highest = float(np.nanmax(result.paths.value))
    if benchmark is not False:
        held = result.benchmark_value(None if benchmark is True else benchmark)
        held = (held.mean(axis=1) if several else held).to_numpy()
        highest = max(highest, float(held.max()))
        name = "equal parts, held" if benchmark is True else "benchmark"
        figure.add_trace(_line(result, held, name, _BENCHMARK, 1.3), row=1, col=1)
    shown = result.paths.value[:, :_MOST_ACCOUNTS]
    falls = result.drawdown().to_numpy().reshape(result.paths.value.shape)
    for account in range(shown.shape[1]):
        name = str(result.accounts[account]) if several else "account"
        colour, width = (_SEVERAL[account % len(_SEVERAL)], 1.2) if several else (_ACCOUNT, 1.8)
        figure.add_trace(_line(result, shown[:, account], name, colour, width), row=1, col=1)
        fall = _line(result, 100 * falls[:, account], "drawdown", colour if several else _LOSS, 1.0)
        if not several:
            fall |= {"fill": "tozeroy", "fillcolor": "rgba(229,72,77,0.15)"}
        figure.add_trace(fall | {"showlegend": False}, row=2, col=1)
    if result.assumptions.band and not several:
        # up to the account's line, which is drawn just before
        best = _line(result, result.band().optimistic.paths.value[:, 0], "optimistic", _ACCOUNT, 0.8)
        best |= {"fill": "tonexty", "fillcolor": "rgba(59,130,246,0.2)"}
        figure.add_trace(best, row=1, col=1)
    form = ",.0f" if highest < _MILLIONS else "~s"
    figure.update_yaxes(title_text="worth at each close", tickformat=form, row=1, col=1)
    figure.update_yaxes(title_text="drawdown, %", row=2, col=1)


def _column_of(result: Results, symbol: str | None) -> int:
    """Return the column whose trades are drawn."""
    layout = result.simulation.layout
    if symbol is not None:
        symbols = [result.bars.symbols[s] for s in layout.symbol_of]
        if symbol not in symbols:
            raise UnknownNameError(f"the account trades no {symbol!r}; it trades {', '.join(symbols[:8])}")
        return symbols.index(symbol)
    traded = np.abs(result.fills[:, 2] * result.fills[:, 3])
    return int(np.argmax(np.bincount(result.fills[:, 1].astype(np.int64), traded, minlength=len(layout.columns))))


def _draw_price(figure: Any, result: Results, column: int) -> None:
    s = int(result.simulation.layout.symbol_of[column])
    name = result.bars.symbols[s]
    figure.add_trace(_line(result, result.marks[:, s], name, _BENCHMARK, 1.0) | {"showlegend": False}, row=3, col=1)
    trades = result.trades.values
    trades, gains = trades[trades[:, at.COLUMN] == column], result.trades._pnl[trades[:, at.COLUMN] == column]
    largest = np.sort(np.argsort(-np.abs(gains), kind="stable")[:_MOST_TRADES])
    some = f" ({_MOST_TRADES:,} largest of {len(gains):,})" if len(gains) > _MOST_TRADES else ""
    trades, gains = trades[largest], gains[largest]
    shapes = np.where(trades[:, at.SIDE] > 0, "triangle-up", "triangle-down")
    entry = (trades[:, at.ENTRY_ROW], trades[:, at.ENTRY_PRICE])
    marks = {"symbol": shapes, "color": _ACCOUNT, "size": 7, "line": {"width": 0}}
    figure.add_trace(_dots(result, entry, f"entry{some}", marks, None), row=3, col=1)
    for label, chosen, colour in (("won", gains > 0, _GAIN), ("lost", gains <= 0, _LOSS)):
        leave = (trades[chosen, at.EXIT_ROW], trades[chosen, at.EXIT_PRICE])
        marks = {"symbol": "circle", "color": colour, "size": 6, "line": {"width": 0}}
        figure.add_trace(_dots(result, leave, label, marks, gains[chosen]), row=3, col=1)
    figure.update_yaxes(title_text=name, row=3, col=1)


def _dots(
    result: Results, where: tuple[np.ndarray, np.ndarray], name: str, marks: dict[str, Any], gains: np.ndarray | None
) -> dict[str, Any]:
    told = "%{y:,.6g}" if gains is None else "%{y:,.6g}, PnL %{customdata:,.2f}"
    return {
        "type": "scatter",
        "x": _milliseconds(result, where[0]),
        "y": where[1],
        "mode": "markers",
        "name": name,
        "marker": marks,
        "hovertemplate": told,
    } | ({} if gains is None else {"customdata": gains})


# ------------------------------------------------------------------------------------------------ lines
def _milliseconds(result: Results, rows: np.ndarray) -> np.ndarray:
    """Return times as milliseconds since 1970, which a date axis reads."""
    return np.asarray(result.bars.index.asi8[rows.astype(np.int64)] / 1e6)


def _thinned(values: np.ndarray) -> np.ndarray:
    """Return the rows of the lowest and highest value of each of many equal stretches, first and last included."""
    n = len(values)
    edges = np.linspace(0, n, _STRETCHES + 1).astype(np.int64)
    filled = pd.Series(values).ffill().bfill().fillna(0.0).to_numpy()
    width = int(np.diff(edges).max())
    places = np.minimum(edges[:-1, None] + np.arange(width), edges[1:, None] - 1)
    stretches = filled[places]
    rows = np.arange(_STRETCHES)
    low, high = places[rows, stretches.argmin(axis=1)], places[rows, stretches.argmax(axis=1)]
    return np.unique(np.concatenate([low, high, [0, n - 1]]))


def _line(
    result: Results, values: np.ndarray, name: str, colour: str | None, width: float, *, means: bool = False
) -> dict[str, Any]:
    # Bars lie on a complete grid, so first time and step say it all; a notebook then stores no text for each time.
    index = result.bars.index
    if len(values) > _MOST_POINTS and means:
        edges = np.linspace(0, len(values), _STRETCHES + 1).astype(np.int64)
        means_of = np.add.reduceat(np.nan_to_num(values), edges[:-1]) / np.diff(edges)
        where: dict[str, Any] = {"x": _milliseconds(result, edges[:-1]), "y": means_of}
    elif len(values) > _MOST_POINTS:
        rows = _thinned(values)
        where = {"x": _milliseconds(result, rows), "y": values[rows]}
    else:
        step_ms = timeframe_ns(result.bars.timeframe) / 1e6
        where = {"x0": f"{index[0]:%Y-%m-%d %H:%M:%S}", "dx": step_ms, "y": values}
    line = {"width": width} | ({"color": colour} if colour else {})
    return {
        "type": "scatter", "name": name, "mode": "lines", "line": line, "hovertemplate": "%{y:,.2f}", **where
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------ months
def plot_monthly(result: Results) -> Any:
    """Draw the returns of months and years as a heatmap.

    Raises
    ------
    ConfigError
        If there are several accounts.
    """
    import plotly.graph_objects as go

    table = 100 * result.monthly_returns()
    widest = float(np.nanmax(np.abs(table.to_numpy()))) or 1.0
    text = [["" if np.isnan(value) else f"{value:.1f}" for value in row] for row in table.to_numpy()]
    figure = go.Figure(
        go.Heatmap(
            x=list(table.columns),
            y=[str(year) for year in table.index],
            z=table.to_numpy(),
            text=text,
            texttemplate="%{text}",
            colorscale=[[0.0, _LOSS], [0.5, "rgba(128,128,128,0.08)"], [1.0, _GAIN]],
            zmin=-widest,
            zmax=widest,
            xgap=2,
            ygap=2,
            showscale=False,
            hovertemplate="%{y} %{x}: %{z:.2f} %<extra></extra>",
        )
    )
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": _INK, "family": "system-ui,sans-serif", "size": 12},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": _INK, "activecolor": _ACCOUNT},
        title={"text": "Returns by month, %", "x": 0.0, "xref": "paper", "subtitle": {"text": _terms(result)}},
        height=140 + 34 * len(table),
        margin={"l": 56, "r": 16, "t": 108, "b": 16},
    )
    figure.update_yaxes(autorange="reversed", type="category", ticks="", showgrid=False)
    figure.update_xaxes(side="top", ticks="", showgrid=False)
    return figure
