"""HTML cards and number formats."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["bars_card", "card", "number", "percent", "table_html"]

STYLE = (
    "font-family:system-ui,sans-serif;font-size:13px;line-height:1.45;border:1px solid #8886;border-radius:8px;"
    "padding:10px 14px;max-width:900px;overflow-x:auto"
)


def number(value: float, digits: int = 4) -> str:
    """Return a number with thousands separators and at most `digits` significant decimals; an en dash for NaN."""
    if value is None or value != value:
        return "–"
    if abs(value) >= 1000 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def percent(fraction: float, digits: int = 2) -> str:
    """Return a fraction as percent, an en dash for NaN."""
    return "–" if fraction is None or fraction != fraction else f"{100 * fraction:z.{digits}f} %"


def table_html(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return an HTML table; every cell is escaped."""
    cell = "padding:2px 12px 2px 0;text-align:left;vertical-align:top"
    head = "".join(f'<th style="{cell}">{html.escape(str(name))}</th>' for name in columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="{cell}">{html.escape(str(value))}</td>' for value in row) + "</tr>"
        for row in rows
    )
    return f'<table style="border-collapse:collapse"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def card(title: str, body: str) -> str:
    """Return a bordered card; `title` is escaped, `body` is HTML."""
    return f'<div style="{STYLE}"><div style="font-weight:600;margin-bottom:6px">{html.escape(title)}</div>{body}</div>'


def bars_card(bars: Any) -> str:
    """Return the card of a `Bars` object: span, symbols, missing bars and why."""
    if not bars.n_times:
        return card("Bars", "no rows")
    missing = int(bars.close.isna().to_numpy().sum())
    reasons = bars.gaps["reason"].value_counts().to_dict() if len(bars.gaps) else {}
    rows = [
        ("span", f"{bars.index[0]:%Y-%m-%d %H:%M} to {bars.index[-1]:%Y-%m-%d %H:%M} UTC, every {bars.timeframe}"),
        ("symbols", ", ".join(bars.symbols[:12]) + (f" and {bars.n_symbols - 12} more" if bars.n_symbols > 12 else "")),
        (
            "missing bars",
            f"{missing:,}" + (f" ({', '.join(f'{n} gaps: {why}' for why, n in reasons.items())})" if reasons else ""),
        ),
        ("hash", bars.content_hash[:16]),
    ]
    return card(f"Bars: {bars.n_symbols} symbols × {bars.n_times:,} bars", table_html(("", ""), rows))
