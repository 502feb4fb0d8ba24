"""The page of an audit: one HTML file that needs neither network nor other files."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gwt_lab.display import card, number, percent, table_html
from gwt_lab.validation.audit_words import DEPTHS, span_of

if TYPE_CHECKING:
    from gwt_lab.validation.audit import Audit

__all__ = ["audit_card", "audit_page"]

_MOST_ROWS = 25
_MOST_POINTS = 800  # of a drawn path: more than a screen shows

_STYLE = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#1b1f24;--soft:#5f6873;--line:#e3e6ea;--main:#2f6fde;
--good:#1f8a5f;--bad:#c92a31;--warn:#8a5a00;--goodbg:#e3f5ec;--badbg:#fde8e8;--warnbg:#fff4d6}
@media (prefers-color-scheme:dark){:root{--page:#0f1216;--card:#171b21;--ink:#e4e7eb;--soft:#98a1ad;--line:#2a3038;
--main:#6ea2ff;--good:#4fc79a;--bad:#ff7b7f;--warn:#f0c45c;--goodbg:#12301f;--badbg:#3a1618;--warnbg:#33290f}}
*{box-sizing:border-box}
body{margin:0;padding:24px 16px 48px;background:var(--page);color:var(--ink);
font:14px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1120px;margin:0 auto}
h1{font-size:22px;line-height:1.25;margin:0 0 2px;overflow-wrap:anywhere}
h2 b{font-weight:600;text-transform:none;letter-spacing:0;overflow-wrap:anywhere}
h2{font-size:12px;font-weight:600;letter-spacing:.06em;text-transform:uppercase;color:var(--soft);margin:0 0 8px}
.sub{color:var(--soft);margin:0 0 14px}
.key{color:var(--soft);font-size:12px;margin:8px 0 0}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 18px;margin:0 0 14px;
min-width:0}
.verdict{display:inline-block;font-size:17px;font-weight:650;padding:3px 12px;border-radius:99px;margin:0 0 10px}
.verdict.good{background:var(--goodbg);color:var(--good)}.verdict.bad{background:var(--badbg);color:var(--bad)}
.verdict.warn{background:var(--warnbg);color:var(--warn)}
.said p{margin:0 0 7px;font-size:15px;max-width:86ch;overflow-wrap:anywhere}.said p:last-child{margin:0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(138px,1fr));gap:10px;margin:0 0 14px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 14px}
.tile span{display:block;color:var(--soft);font-size:12px}
.tile b{font-size:19px;font-weight:650;font-variant-numeric:tabular-nums}
.good{color:var(--good)}.bad{color:var(--bad)}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:14px;margin:0 0 14px}
.two section{margin:0}
.chart{position:relative;margin:4px 0 20px 46px}
.chart svg{display:block;width:100%;height:100%;overflow:visible}
.chart i{position:absolute;font-style:normal;font-size:11px;color:var(--soft);white-space:nowrap;line-height:1}
.chart i.y{right:100%;transform:translateY(-50%);margin-right:6px}
.chart i.x{top:100%;transform:translateX(-50%);margin-top:6px}
path,line{vector-effect:non-scaling-stroke}
.path{fill:none;stroke:var(--main);stroke-width:1.6}.under{fill:var(--bad);opacity:.25;stroke:none}
.bars{fill:var(--main);opacity:.75}.bars.b{fill:var(--bad)}.grid{stroke:var(--line)}.zero{stroke:var(--soft)}
.mark{stroke:var(--bad);stroke-dasharray:4 3}.held{stroke:var(--warn);stroke-dasharray:4 3}
.key b{font-weight:700}.span{stroke:var(--main);stroke-width:5;opacity:.45}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13px}
th,td{padding:4px 12px 4px 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top;white-space:nowrap}
th{color:var(--soft);font-weight:500;font-size:12px}
tr:last-child td{border-bottom:0}
td:first-child{white-space:normal;overflow-wrap:anywhere;min-width:16ch}
th:last-child,td:last-child{padding-right:0}
.n{text-align:right;font-variant-numeric:tabular-nums}
ul{margin:0;padding-left:18px}li{overflow-wrap:anywhere}
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title}</title><style>{style}</style></head><body><main>{body}</main></body></html>
"""
_TONE = {"holds up": "good", "not proven": "warn", "looks like luck": "bad"}


def audit_page(audit: Audit, title: str | None = None) -> str:
    """Return an audit as one HTML page."""
    heading = title or (f"Audit of {audit.best}" if audit.returns.shape[1] == 1 else "Audit of a choice of strategies")
    parts = [
        f"<h1>{html.escape(heading)}</h1>",
        f'<p class="sub">{html.escape(_subtitle(audit))}</p>',
        _said(audit),
        _tiles(audit),
        _section("Account of {}, from 1", _account(audit), audit.best),
        f'<div class="two">{_sharpe(audit)}{_falls(audit)}</div>',
        f'<div class="two">{_trials(audit)}{_overfitting(audit)}</div>',
        _section("Strategies", _strategies(audit)),
        _notes(audit),
    ]
    # a number and its sign stay on one line
    body = "".join(parts).replace(" %", "\u00a0%")
    return _PAGE.format(title=html.escape(heading), style=_STYLE, body=body)


def audit_card(audit: Audit) -> str:
    """Return an audit as a card for notebooks."""
    said = "".join(f'<p style="margin:0 0 6px">{html.escape(text)}</p>' for text in audit.summary)
    rows = [(name, value) for name, value, _ in _headline(audit)]
    return card(f"Audit: {audit.verdict}", said + table_html(("", ""), rows))


# ------------------------------------------------------------------------------------------------ parts
def _section(title: str, body: str, name: str = "") -> str:
    """Return a part of the page; a user's `name` in its title keeps its letters."""
    heading = html.escape(title).replace("{}", f"<b>{html.escape(name)}</b>")
    return f"<section><h2>{heading}</h2>{body}</section>" if body else ""


def _subtitle(audit: Audit) -> str:
    index, n = audit.returns.index, audit.returns.shape[1]
    said = [audit.kind, f"{n:,} strateg{'y' if n == 1 else 'ies'}"]
    if isinstance(index, pd.DatetimeIndex):
        said += [
            f"{len(index):,} returns of {audit.frequency.words}",
            f"{index[0]:%Y-%m-%d} to {index[-1]:%Y-%m-%d} UTC",
        ]
    else:
        said.append(f"{len(index):,} returns without dates")
    return " · ".join(said)


def _said(audit: Audit) -> str:
    said = "".join(f"<p>{html.escape(text)}</p>" for text in audit.summary)
    return (
        f'<section class="said"><span class="verdict {_TONE[audit.verdict]}">It {html.escape(_verb(audit))}</span>'
        f"{said}</section>"
    )


def _verb(audit: Audit) -> str:
    return "is not proven" if audit.verdict == "not proven" else audit.verdict


def _headline(audit: Audit) -> list[tuple[str, str, str]]:
    best, dated = audit.table.iloc[0], math.isfinite(audit.frequency.per_year)
    pbo = "–" if audit.overfitting is None else percent(audit.pbo, 0)
    return [
        ("Total return", percent(best["total_return"], 1), "good" if best["total_return"] >= 0 else "bad"),
        ("Max drawdown", percent(best["max_drawdown"], 1), "bad" if best["max_drawdown"] < 0 else ""),
        ("Sharpe a year", number(best["annual_sharpe"], 3), "") if dated else ("Sharpe", number(best["sharpe"], 3), ""),
        ("Probabilistic Sharpe", f"{audit.psr:.3f}", _tone(audit.psr, audit)),
        ("Deflated Sharpe", f"{audit.dsr:.3f}", _tone(audit.dsr, audit)),
        ("Overfitting", pbo, "" if audit.overfitting is None else "bad" if audit.pbo >= 0.5 else "good"),
        ("Record needed", span_of(audit, audit.min_track_record), _enough(audit)),
    ]


def _tone(value: float, audit: Audit) -> str:
    return "good" if value >= audit.confidence else "bad" if value < 0.5 else ""


def _enough(audit: Audit) -> str:
    return "good" if audit.min_track_record <= audit.table["n_observations"].iloc[0] else "bad"


def _tiles(audit: Audit) -> str:
    return '<div class="tiles">' + "".join(
        f'<div class="tile"><span>{html.escape(name)}</span><b class="{kind}">{html.escape(value)}</b></div>'
        for name, value, kind in _headline(audit)
    ) + "</div>"  # fmt: skip


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column is text and whose others are numbers."""

    def line(cells: Sequence[str], tag: str) -> str:
        inner = "".join(
            f"<{tag}{' class=n' if place else ''}>{html.escape(cell)}</{tag}>" for place, cell in enumerate(cells)
        )
        return f"<tr>{inner}</tr>"

    head = f"<thead>{line(columns, 'th')}</thead>" if any(columns) else ""
    return f'<div class="wide"><table>{head}<tbody>{"".join(line(row, "td") for row in rows)}</tbody></table></div>'


def _trials(audit: Audit) -> str:
    found = audit.deflated
    scale = math.sqrt(audit.frequency.per_year) if math.isfinite(audit.frequency.per_year) else 1.0
    unit = "a year" if math.isfinite(audit.frequency.per_year) else "a period"
    both = (
        (found.effective_trials, found.effective_variance, found.expected_max, found.value),
        (found.n_trials, found.trial_variance, found.raw_expected_max, found.raw_value),
    )
    shown = [
        (number(trials), number(scale * math.sqrt(variance), 3), number(scale * best, 3), f"{value:.3f}")
        for trials, variance, best, value in both
    ]
    names = ("trials", f"spread of their Sharpe {unit}", f"luck reaches {unit}", "deflated Sharpe")
    rows = [list(row) for row in zip(names, *shown, strict=True)]
    head = ("", "independent", "as counted")
    known = "" if audit.trials_known else " How many were tried before is not known; it was taken as the only one."
    return _section("How many were tried", _table(head, rows) + f'<p class="key">{html.escape(found.note)}.{known}</p>')


def _strategies(audit: Audit) -> str:
    scale = math.sqrt(audit.frequency.per_year) if math.isfinite(audit.frequency.per_year) else 1.0
    twice = "doubled_return" in audit.table.columns
    rows = []
    for name, row in audit.table.head(_MOST_ROWS).iterrows():
        span = f"{number(scale * row['sharpe_low'], 2)} to {number(scale * row['sharpe_high'], 2)}"
        rows.append(
            [str(name), percent(row["total_return"], 1), percent(row["max_drawdown"], 1),
             number(scale * row["sharpe"], 3), span, f"{row['psr']:.3f}", f"{row['dsr']:.3f}",
             span_of(audit, row["min_track_record"]), *([percent(row["doubled_return"], 1)] if twice else [])]
        )  # fmt: skip
    head = ["", "return", "drawdown", "Sharpe", f"{100 * audit.confidence:.4g} % interval", "probabilistic", "deflated",
            "record needed", *(["return, costs doubled"] if twice else [])]  # fmt: skip
    more = len(audit.table) - _MOST_ROWS
    return _table(head, rows) + (f'<p class="key">and {more:,} more</p>' if more > 0 else "")


def _notes(audit: Audit) -> str:
    block = audit.sharpe_interval.block
    said = [
        *audit.notes,
        "Sharpe ratios have no risk-free rate and ddof 1; years have 365 days",
        "probabilistic: the chance that the true Sharpe ratio is above zero, given length, skew and tails (Bailey, "
        "López de Prado 2012); deflated: the same for the best of several (2014)",
        "overfitting: share of splits in which the best of one half is in the lower half of the field in the other "
        "(Bailey and others 2017)",
        f"intervals and falls: 1,000 paths of a stationary bootstrap with blocks of {block:.1f} returns on average; "
        "what did not happen in this record does not happen in them",
    ]
    items = "".join(f"<li>{html.escape(text[0].upper() + text[1:])}.</li>" for text in said)
    return _section("What to know", f"<ul>{items}</ul>")


# ------------------------------------------------------------------------------------------------ charts
def _chart(height: int, shapes: str, y: Sequence[tuple[float, str]], x: Sequence[tuple[float, str]]) -> str:
    """Return shapes drawn in a 100 × 100 box that fills its width, with labels in text of constant size."""
    grid = "".join(f'<line class="grid" x1="0" x2="100" y1="{at:.2f}" y2="{at:.2f}"/>' for at, _ in y)
    labels = "".join(f'<i class="y" style="top:{at:.2f}%">{html.escape(text)}</i>' for at, text in y)
    ends = "".join(
        f'<i class="x" style="left:{at:.2f}%;transform:translateX({-at:.0f}%)">{html.escape(text)}</i>'
        for at, text in x
    )
    return (
        f'<div class="chart" style="height:{height}px"><svg viewBox="0 0 100 100" preserveAspectRatio="none" '
        f'aria-hidden="true">{grid}{shapes}</svg>{labels}{ends}</div>'
    )


def _thinned(values: np.ndarray) -> np.ndarray:
    """Return rows to draw: the lowest and the highest of each stretch, so that no fall is lost."""
    n = len(values)
    if n <= _MOST_POINTS:
        return np.arange(n)
    edges = np.linspace(0, n, _MOST_POINTS // 2 + 1).astype(int)
    rows = [
        edges[i] + f(values[edges[i] : edges[i + 1]]) for i in range(len(edges) - 1) for f in (np.argmin, np.argmax)
    ]
    return np.unique([0, *rows, n - 1])


def _line(x: np.ndarray, y: np.ndarray) -> str:
    return "M" + "L".join(f"{a:.2f} {b:.2f}" for a, b in zip(x, y, strict=True))


def _account(audit: Audit) -> str:
    worth = np.concatenate([[1.0], np.cumprod(1 + audit.returns[audit.best].to_numpy())])
    rows = _thinned(worth)
    x = 100 * rows / (len(worth) - 1)
    logarithmic = worth.min() > 0 and worth.max() / worth.min() > 4
    scaled = np.log(worth) if logarithmic else worth
    low, high = float(scaled.min()), float(scaled.max())
    room = (high - low) or 1.0
    at = 100 * (high - scaled[rows]) / room
    ticks = np.linspace(low, high, 5)
    labels = [(100 * (high - t) / room, number(math.exp(t) if logarithmic else t, 3)) for t in ticks]
    under = 100 * (worth / np.maximum.accumulate(worth) - 1)
    deepest = float(under.min()) or -1.0
    down = 100 * under[rows] / deepest
    area = f'<path class="under" d="M0 0L{_line(x, down)[1:]}L100 0Z"/>'
    index = audit.returns.index
    dated = isinstance(index, pd.DatetimeIndex)
    ends = [
        (100 * share, f"{index[round(share * (len(index) - 1))]:%Y-%m-%d}" if dated else f"{share * len(index):,.0f}")
        for share in (0.0, 0.5, 1.0)
    ]
    upper = _chart(230, f'<path class="path" d="{_line(x, at)}"/>', labels, [])
    lower = _chart(80, area, [(0.0, "0 %"), (100.0, f"{deepest:.0f} %")], ends)
    return upper + lower


def _sharpe(audit: Audit) -> str:
    """Return the Sharpe ratio's interval beside what luck reaches, on one axis."""
    dated = math.isfinite(audit.frequency.per_year)
    scale = math.sqrt(audit.frequency.per_year) if dated else 1.0
    interval = audit.sharpe_interval
    marks = [("zero", 0.0, "zero"), ("best of luck", scale * audit.deflated.expected_max, "mark")]
    if audit.deflated.expected_max == 0:
        marks = marks[:1]
    rows = [("resampled", scale * interval.low, scale * interval.mean, scale * interval.high)]
    edges = [rows[0][1], rows[0][3], *(value for _, value, _ in marks)]
    if audit.compared is not None:
        marks.append(("benchmark", scale * audit.compared.sharpe, "held"))
        edges.append(marks[-1][1])
    if audit.doubled is not None and math.isfinite(audit.doubled.sharpe):
        edges.append(scale * audit.doubled.sharpe)
    low, high = min(edges), max(edges)
    room = (high - low) or 1.0
    low, room = low - 0.06 * room, 1.12 * room

    def at(value: float) -> float:
        return 100 * (value - low) / room

    shapes = "".join(
        f'<line class="{kind}" x1="{at(v):.2f}" x2="{at(v):.2f}" y1="0" y2="100"/>' for _, v, kind in marks
    )
    shapes += f'<line class="span" x1="{at(rows[0][1]):.2f}" x2="{at(rows[0][3]):.2f}" y1="50" y2="50"/>'
    middle = at(rows[0][2])
    shapes += f'<line class="path" x1="{middle:.2f}" x2="{middle:.2f}" y1="30" y2="70" style="stroke-width:3"/>'
    ends = [(at(value), number(value, 2)) for value in (rows[0][1], rows[0][2], rows[0][3])]
    said = [["measured", number(rows[0][2], 3)],
            [f"{100 * interval.level:.4g} % interval", f"{number(rows[0][1], 3)} to {number(rows[0][3], 3)}"],
            *([[name, number(value, 3)] for name, value, _ in marks[1:]])]  # fmt: skip
    if audit.doubled is not None:
        said.append(["with costs doubled", number(scale * audit.doubled.sharpe, 3)])
    mean = audit.mean_interval.scaled(audit.frequency.per_year if dated else 1.0)
    unit = "a year" if dated else "a period"
    said.append([f"mean return {unit}", f"{percent(mean.low, 1)} to {percent(mean.high, 1)}"])
    chart = _chart(64, shapes, [], ends).replace('class="chart" style="', 'class="chart" style="margin-left:0;')
    colours = {"zero": "soft", "mark": "bad", "held": "warn"}
    key = " · ".join(f'<b style="color:var(--{colours[kind]})">┆</b> {name}' for name, _, kind in marks)
    chart += f'<p class="key" style="margin:14px 0 8px">{key}</p>'
    return _section(f"Sharpe ratio {unit}", chart + _table(("", ""), said))


def _bars(counts: np.ndarray, cut: int) -> str:
    """Return a histogram; bars before `cut` are drawn as bad."""
    n, top = len(counts), max(int(counts.max()), 1)
    return "".join(
        f'<rect class="bars{" b" if i < cut else ""}" x="{100 * i / n + 0.3:.2f}" width="{100 / n - 0.6:.2f}" '
        f'y="{100 - 100 * c / top:.2f}" height="{100 * c / top:.2f}"/>'
        for i, c in enumerate(counts)
    )


def _falls(audit: Audit) -> str:
    odds = audit.drawdown
    depths = np.minimum(-odds.depths, 1.0)
    top = min(max(math.ceil(20 * float(depths.max())) / 20, 0.1), 1.0)
    counts, _ = np.histogram(depths, bins=30, range=(0.0, top))
    ends = [(100 * share, f"{100 * share * top:.0f} %") for share in (0.0, 0.5, 1.0)]
    chart = _chart(120, _bars(counts, 0), [(0.0, f"{counts.max():,}"), (100.0, "0")], ends)
    rows = [
        ["expected (median)", percent(-odds.quantile(0.5), 1)],
        ["one in twenty is deeper", percent(-odds.quantile(0.95), 1)],
    ]
    rows += [[f"chance of more than {100 * depth:.0f} %", percent(odds.probability(depth), 1)] for depth in DEPTHS]
    length = span_of(audit, audit.table["n_observations"].iloc[0])
    return _section(f"Deepest fall in another {length}", chart + _table(("", ""), rows))


def _by_place(place: np.ndarray, field: int, n_bars: int) -> np.ndarray:
    """Return how many winners came in each part of the field, as if every part held equally many of its ranks."""
    span = (0.5 / field, 1 - 0.5 / field)
    counts, _ = np.histogram(place, bins=n_bars, range=span)
    ranks, _ = np.histogram(np.arange(1, field) / field, bins=n_bars, range=span)
    equal: np.ndarray = np.rint(counts * (field - 1) / (n_bars * ranks)).astype(np.int64)
    return equal


def _overfitting(audit: Audit) -> str:
    found = audit.overfitting
    if found is None:
        words = (
            "One strategy: there is no choice to judge." if audit.returns.shape[1] == 1 else "Not computed: see below."
        )
        return _section("Does choosing work", f'<p class="sub">{words}</p>')
    place = 1 / (1 + np.exp(-found.logits))  # the winner's rank in the other half, as a share of the field
    field, n_bars = found.n_strategies + 1, min(found.n_strategies, 20)
    counts = _by_place(place, field, n_bars)
    chart = _chart(
        120,
        _bars(counts, (n_bars + 1) // 2),
        [(0.0, f"{counts.max():,}"), (100.0, "0")],
        [(0.0, "worst"), (50.0, "middle"), (100.0, "best")],
    )
    rows = [
        ["in the lower half (overfitting)", percent(found.pbo, 1)],
        ["lost money", percent(found.loss_probability, 1)],
        ["slope, other half on first", number(found.slope, 3)],
    ]
    key = f'<p class="key">{len(found.logits):,} ways to halve {found.n_blocks} blocks</p>'
    return _section("Where the winner of one half came in the other", chart + _table(("", ""), rows) + key)
