"""Interactive figures of backtests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from gwt_lab.backtest.portfolio import Portfolio

__all__ = ["plot_equity"]

_ACCOUNT, _BENCHMARK, _LOSS = "#1f77b4", "#9aa0a8", "#d62728"


def plot_equity(portfolio: Portfolio, *, benchmark: bool = True) -> Any:
    """Draw an account's worth, and below it how far it stands under its peak.

    Parameters
    ----------
    portfolio : Portfolio
    benchmark : bool
        Draw the same cash held in equal parts of every symbol, bought at its first close and never traded, as well. It
        pays no costs.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.7, 0.3], vertical_spacing=0.05)
    if benchmark:
        figure.add_trace(_line(_held(portfolio), "equal parts, held", _BENCHMARK, width=1.3), row=1, col=1)
    figure.add_trace(_line(portfolio.value(), "account", _ACCOUNT, width=1.8), row=1, col=1)
    fall = _line(100 * portfolio.drawdown(), "drawdown", _LOSS, width=1.0)
    figure.add_trace(fall | {"fill": "tozeroy", "fillcolor": "rgba(214,39,40,0.15)", "showlegend": False}, row=2, col=1)
    figure.update_xaxes(type="date")
    figure.update_yaxes(title_text="worth at each close", tickformat=",.0f", row=1, col=1)
    figure.update_yaxes(title_text="drawdown, %", row=2, col=1)
    title = (
        f"Total return {100 * portfolio.total_return():.1f} %, Sharpe {portfolio.sharpe_ratio():.2f}, "
        f"max drawdown {100 * portfolio.max_drawdown():.1f} %"
    )
    figure.update_layout(
        template="plotly_white",
        title={"text": title, "subtitle": {"text": _terms(portfolio)}},
        hovermode="x unified",
        width=900,
        height=520,
        margin={"l": 70, "r": 20, "t": 90, "b": 40},
        legend={"orientation": "h", "y": 1.0, "x": 1.0, "xanchor": "right", "yanchor": "bottom"},
    )
    return figure


def _terms(portfolio: Portfolio) -> str:
    """Return when orders are filled and at what cost, short enough for a line below the title."""
    told = str(portfolio.assumptions).split("; ")
    return "; ".join(told[:2])


def _held(portfolio: Portfolio) -> pd.Series:
    """Return the worth of equal parts of every symbol, bought at its first close and held; cash until then."""
    close = portfolio.bars.close.ffill()
    growth = (close / portfolio.bars.close.bfill().iloc[0]).fillna(1.0)
    held: pd.Series = portfolio.assumptions.init_cash * growth.mean(axis=1)
    return held


def _line(series: pd.Series, name: str, colour: str, width: float) -> dict[str, Any]:
    # Bars lie on a complete grid, so first time and step say it all; a notebook then stores no text for each time.
    index = series.index
    step_ms = (index[1] - index[0]).total_seconds() * 1000 if len(index) > 1 else 1.0
    return {
        "type": "scatter",
        "x0": f"{index[0]:%Y-%m-%d %H:%M:%S}",
        "dx": step_ms,
        "y": series.to_numpy(),
        "name": name,
        "mode": "lines",
        "line": {"color": colour, "width": width},
        "hovertemplate": "%{y:,.2f}",
    }
