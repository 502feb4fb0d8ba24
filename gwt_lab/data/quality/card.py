"""The card of a quality report: for notebooks, and as one self-contained HTML file."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gwt_lab.data.quality.findings import ALL, SEVERITIES, Finding

if TYPE_CHECKING:
    from gwt_lab.data.quality.report import QualityReport

__all__ = ["report_card", "report_page"]

# rows that a page shows; a table of thousands helps nobody
_MOST_STRIPS, _MOST_FINDINGS = 60, 300

# Colours are mixed with whatever lies below, so that the card reads on light and on dark notebooks alike. A notebook
# has rules of its own for tables (right-aligned, columns of one width); the class said three times outranks them.
_STYLE = """
.gwtq{--ink:currentColor;--soft:color-mix(in srgb,currentColor 62%,transparent);
--line:color-mix(in srgb,currentColor 16%,transparent);--track:color-mix(in srgb,currentColor 9%,transparent);
--error:#d9363e;--warning:#c77f00;--info:#3b7dd8;--good:#2a9d6f;
font:13px/1.45 system-ui,-apple-system,"Segoe UI",sans-serif;max-width:1120px;border:1px solid var(--line);
border-radius:10px;padding:16px 20px 18px;box-sizing:border-box}
.gwtq *{box-sizing:border-box}
.gwtq .head{display:flex;align-items:baseline;gap:10px;flex-wrap:wrap}
.gwtq .head b{font-size:17px;font-weight:650}
.gwtq .pill{display:inline-block;padding:1px 9px;border-radius:99px;font-size:12px;font-weight:600;white-space:nowrap;
color:var(--c);background:color-mix(in srgb,var(--c) 15%,transparent)}
.gwtq .error{--c:var(--error)}.gwtq .warning{--c:var(--warning)}.gwtq .info{--c:var(--info)}.gwtq .good{--c:var(--good)}
.gwtq .sub{color:var(--soft);margin:2px 0 12px}
.gwtq h4{margin:16px 0 6px;font-size:11px;font-weight:600;letter-spacing:.06em;text-transform:uppercase;
color:var(--soft)}
.gwtq .wide{overflow-x:auto}
.gwtq.gwtq.gwtq table{border-collapse:collapse;table-layout:auto;width:100%;margin:0;background:none;font-size:13px}
.gwtq.gwtq.gwtq th,.gwtq.gwtq.gwtq td{border:0;border-bottom:1px solid var(--line);padding:5px 14px 5px 0;
text-align:left;vertical-align:top;background:none;color:inherit;font-weight:400}
.gwtq.gwtq.gwtq th{color:var(--soft);font-size:12px;white-space:nowrap}
.gwtq.gwtq.gwtq tr:last-child td{border-bottom:0}
.gwtq.gwtq.gwtq .n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.gwtq .t{font-variant-numeric:tabular-nums;white-space:nowrap}
.gwtq .last{width:52%}
.gwtq .do{color:var(--soft)}
.gwtq .strips{display:grid;grid-template-columns:max-content minmax(160px,1fr) max-content;gap:5px 14px;
align-items:center}
.gwtq .strips .n{color:var(--soft)}
.gwtq svg{display:block;width:100%;height:18px}
.gwtq .axis{display:flex;justify-content:space-between;color:var(--soft);font-size:11px}
.gwtq .key{color:var(--soft);font-size:12px;margin-top:6px;display:flex;gap:16px;flex-wrap:wrap}
.gwtq .key i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:5px;background:var(--c)}
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title}</title><style>
:root{{color-scheme:light dark}}
body{{margin:0;padding:28px 16px;background:#f6f7f9;color:#1b1f24}}
.gwtq{{margin:0 auto;background:#fff}}
@media (prefers-color-scheme:dark){{body{{background:#0f1216;color:#e4e7eb}}
.gwtq{{background:#171b21;--error:#ff6b6b;--warning:#f0b429;--info:#6ea8fe;--good:#4fc79a}}}}
</style></head><body>{card}</body></html>
"""


def report_page(report: QualityReport, title: str) -> str:
    """Return the card as a page that needs no other file."""
    # our own style comes first, so that the page's darker colours win
    return _PAGE.format(title=html.escape(title), card=_card(report, title)).replace(
        "<style>\n:root", f"<style>{_STYLE}</style><style>\n:root", 1
    )


def report_card(report: QualityReport) -> str:
    """Return the card for a notebook."""
    return f"<style>{_STYLE}</style>{_card(report, 'Data quality')}"


def _card(report: QualityReport, title: str) -> str:
    verdict = ("good", "passed") if report.passed else ("error", "failed")
    counts = "".join(
        f'<span class="pill {name}">{count} {name}{"s" if count != 1 and name != "info" else ""}</span>'
        for name, count in report.counts().items()
        if count
    )
    span = f"{report.start:%Y-%m-%d %H:%M} to {report.end:%Y-%m-%d %H:%M} UTC"
    names = f"{len(report.symbols)} symbol{'s' if len(report.symbols) != 1 else ''}"
    taken = "" if report.now is None else f" · taken {report.now:%Y-%m-%d %H:%M}"
    sub = f"{names} · {report.n_rows:,} rows of {report.timeframe} · {span}{taken}"
    return (
        f'<div class="gwtq"><div class="head"><b>{html.escape(title)}</b>'
        f'<span class="pill {verdict[0]}">{verdict[1]}</span>{counts}</div><div class="sub">{html.escape(sub)}</div>'
        f"{_coverage(report)}{_table(report)}</div>"
    )


# ------------------------------------------------------------------------------------------------ coverage
def _coverage(report: QualityReport) -> str:
    coverage = report.coverage
    if not len(coverage):
        return ""
    shown = list(coverage.columns[:_MOST_STRIPS])
    marks = {symbol: _marks(report.findings, symbol, coverage.index) for symbol in shown}
    rows = "".join(
        f"<div>{html.escape(str(symbol))}</div>{_strip(coverage[symbol].to_numpy(), marks[symbol], str(symbol))}"
        f'<div class="n">{_share(float(coverage[symbol].mean()))}</div>'
        for symbol in shown
    )
    more = len(coverage.columns) - len(shown)
    hidden = f'<div class="key">and {more} more symbols</div>' if more else ""
    middle = coverage.index[len(coverage) // 2]
    axis = "".join(f"<span>{time:%Y-%m-%d}</span>" for time in (report.start, middle, report.end))
    used = {severity for kinds in marks.values() for severity in kinds if severity}
    key = '<span class="good"><i></i>bars that exist</span>' + "".join(
        f'<span class="{name}"><i></i>{name}</span>' for name in SEVERITIES if name in used
    )
    return (
        f'<h4>Coverage</h4><div class="strips">{rows}<div></div><div class="axis">{axis}</div><div></div></div>{hidden}'
        f'<div class="key">{key}</div>'
    )


def _share(fraction: float) -> str:
    # 99.996 % is not all of it
    return "100 %" if fraction == 1 else f"{min(100 * fraction, 99.99):.2f} %"


def _marks(findings: tuple[Finding, ...], symbol: str, parts: pd.DatetimeIndex) -> list[str]:
    """Return the worst severity of the findings in each part of the time, "" where there is none."""
    worst = [""] * len(parts)
    for severity in reversed(SEVERITIES):  # errors last, on top
        for found in findings:
            # missing bars show as holes already
            if found.severity != severity or found.symbol not in (symbol, ALL) or found.check in _HOLES:
                continue
            for part in np.unique(np.maximum(parts.searchsorted(found.times, side="right") - 1, 0)):
                worst[part] = severity
    return worst


_HOLES = ("outage", "listing", "delisting", "gap")


def _strip(share: np.ndarray, marks: list[str], symbol: str) -> str:
    """Return one symbol's coverage as inline SVG: bars that exist above, findings below."""
    n = len(share)
    level = np.where(share <= 0, 0, np.where(share >= 1, 4, np.clip(np.ceil(share * 4), 1, 3))).astype(int)
    bars = "".join(
        f'<rect x="{begin}" y="1" width="{stop - begin}" height="10" fill="var(--good)" '
        f'fill-opacity="{(0, 0.2, 0.4, 0.6, 0.85)[level[begin]]}"/>'
        for begin, stop in _stretches(level.tolist())
        if level[begin]
    )
    ticks = "".join(
        # a single mark among many parts must still be seen
        f'<rect x="{max(begin - 0.4, 0):g}" y="13" width="{stop - begin + 0.8:g}" height="4" '
        f'fill="var(--{marks[begin]})"/>'
        for begin, stop in _stretches(marks)
        if marks[begin]
    )
    title = f"{symbol}: {_share(float(share.mean()))} of the bars exist"
    return (
        f'<svg viewBox="0 0 {n} 18" preserveAspectRatio="none" role="img"><title>{html.escape(title)}</title>'
        f'<rect x="0" y="1" width="{n}" height="10" fill="var(--track)"/>{bars}{ticks}</svg>'
    )


def _stretches(values: list[int] | list[str]) -> Iterator[tuple[int, int]]:
    """Yield begin and stop of each run of equal values."""
    begin = 0
    for at in range(1, len(values) + 1):
        if at == len(values) or values[at] != values[begin]:
            yield begin, at
            begin = at


# ------------------------------------------------------------------------------------------------ findings
def _table(report: QualityReport) -> str:
    if not report.findings:
        return '<h4>Findings</h4><div class="sub">none</div>'
    groups = _grouped(report.findings)
    rows = "".join(_row(group) for group in groups[:_MOST_FINDINGS])
    more = sum(len(group) for group in groups[_MOST_FINDINGS:])
    hidden = f'<div class="key">and {more} more findings</div>' if more > 0 else ""
    titles = "<th></th><th>check</th><th>symbol</th><th>first</th>"
    head = f'<tr>{titles}<th class="n">bars</th><th class="last">what, and what to do</th></tr>'
    return f'<h4>Findings</h4><div class="wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>{hidden}'


def _grouped(findings: tuple[Finding, ...]) -> list[list[Finding]]:
    """Return findings that differ in nothing but their symbol and count as one row."""
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for found in findings:
        key = (found.severity, found.check, found.first, found.what, found.do)
        groups.setdefault(key, []).append(found)
    return list(groups.values())


def _row(group: list[Finding]) -> str:
    found = group[0]
    symbols = ", ".join(each.symbol for each in group[:3]) + (f" and {len(group) - 3} more" if len(group) > 3 else "")
    first = "–" if found.first is None else f"{found.first:%Y-%m-%d %H:%M}"
    return (
        f'<tr><td><span class="pill {found.severity}">{found.severity}</span></td>'
        f'<td class="t">{html.escape(found.check)}</td>'
        f'<td class="{"t" if len(group) == 1 else ""}">{html.escape(symbols)}</td>'
        f'<td class="t">{first}</td><td class="n">{sum(each.count for each in group):,}</td>'
        f'<td>{html.escape(found.what)}<div class="do">{html.escape(found.do)}</div></td></tr>'
    )
