"""The tear sheet: a whole result as one HTML page that needs neither network nor other files."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gwt_lab.display import number, percent
from gwt_lab.errors import ConfigError

if TYPE_CHECKING:
    from gwt_lab.backtest.results import Results

__all__ = ["tearsheet"]

_MOST_ROWS = 10

_STYLE = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#1b1f24;--soft:#5f6873;--line:#e3e6ea;
--good:#1f8a5f;--bad:#c92a31;--warn:#8a5a00;--warnbg:#fff4d6;--gain:42,157,111;--loss:229,72,77}
@media (prefers-color-scheme:dark){:root{--page:#0f1216;--card:#171b21;--ink:#e4e7eb;--soft:#98a1ad;--line:#2a3038;
--good:#4fc79a;--bad:#ff7b7f;--warn:#f0c45c;--warnbg:#33290f}}
*{box-sizing:border-box}
body{margin:0;padding:24px 16px 48px;background:var(--page);color:var(--ink);
font:14px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1120px;margin:0 auto}
h1{font-size:22px;line-height:1.25;margin:0 0 2px;overflow-wrap:anywhere}
h2{font-size:12px;font-weight:600;letter-spacing:.06em;text-transform:uppercase;color:var(--soft);margin:0 0 8px}
.sub{color:var(--soft);margin:0 0 14px}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 18px;margin:0 0 14px;
min-width:0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(132px,1fr));gap:10px;margin:0 0 14px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 14px}
.tile span{display:block;color:var(--soft);font-size:12px}
.tile b{font-size:19px;font-weight:650;font-variant-numeric:tabular-nums}
.good{color:var(--good)}.bad{color:var(--bad)}
.warn{background:var(--warnbg);color:var(--warn);border-color:transparent;font-weight:600}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:14px}
.two section{margin:0}.two{margin:0 0 14px}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13px}
th,td{padding:4px 12px 4px 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top;
white-space:nowrap}
th{color:var(--soft);font-weight:500;font-size:12px}
tr:last-child td{border-bottom:0}
.n{text-align:right;font-variant-numeric:tabular-nums}
.stats td{white-space:normal}.stats td.n{white-space:nowrap}
.months td,.months th{text-align:right;padding:5px 8px;border:1px solid var(--card);font-variant-numeric:tabular-nums}
.months tr>:first-child{text-align:left;color:var(--soft)}
.months tr>:last-child{font-weight:600}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,380px),1fr));gap:0 36px}
ul{margin:0;padding-left:18px}
#figure{min-height:820px}
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title}</title><style>{style}</style><script>{plotly}</script></head><body><main>{body}</main>
<script>
(function () {{
  var figure = {figure};
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  function ink() {{ return dark.matches ? "#98a1ad" : "#5f6873"; }}
  figure.layout.font.color = ink();
  Plotly.newPlot("figure", figure.data, figure.layout, {{responsive: true, displayModeBar: false}});
  dark.addEventListener("change", function () {{ Plotly.relayout("figure", {{"font.color": ink()}}); }});
}})();
</script></body></html>
"""


def tearsheet(
    result: Results,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str | None = None,
    benchmark: pd.Series | None = None,
    trials: Any = None,
) -> str:
    """Return a result as one HTML page, and write it to `path` if given.

    Parameters
    ----------
    result : Portfolio
        One account.
    path : path, optional
        File to write.
    title : str, optional
        Heading.
    benchmark : Series, optional
        Prices by time to compare with.
    trials : TrialLedger, Study or mapping, optional
        How many configurations were tried: `n_trials`, `effective_trials`, `trial_variance`.

    Raises
    ------
    ConfigError
        If there are several accounts.
    """
    if result.n_accounts != 1:
        raise ConfigError(f"a tear sheet shows one account, there are {result.n_accounts}: pick one, pf[label]")
    from plotly.offline import get_plotlyjs

    heading = title or f"Backtest of {', '.join(result.bars.symbols[:4])}" + (
        f" and {result.bars.n_symbols - 4} more" if result.bars.n_symbols > 4 else ""
    )
    figure = result.plot(benchmark=True if benchmark is None else benchmark)
    figure.update_layout(title=None, margin={"l": 58, "r": 8, "t": 34, "b": 30})
    page = _PAGE.format(
        title=html.escape(heading),
        style=_STYLE,
        plotly=get_plotlyjs(),
        body=_body(result, heading, benchmark, trials),
        # "</" would end the script
        figure=figure.to_json().replace("</", "<\\/"),
    )
    if path is not None:
        try:
            Path(path).write_text(page, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"the tear sheet cannot be written to {path}: {error}") from None
    return page


def _body(result: Results, heading: str, benchmark: pd.Series | None, trials: Any) -> str:
    bars = result.bars
    span = f"{bars.index[0]:%Y-%m-%d %H:%M} to {bars.index[-1]:%Y-%m-%d %H:%M} UTC"
    names = f"{bars.n_symbols} symbol{'s' if bars.n_symbols != 1 else ''}"
    stats = result.stats(benchmark=benchmark)
    parts = [
        f"<h1>{html.escape(heading)}</h1>",
        f'<p class="sub">{names} · {bars.n_times:,} bars of {html.escape(bars.timeframe)} · {span}</p>',
        _tiles(result, stats),
        _band(result),
        _section("Assumptions", _listed(str(result.assumptions).split("; "))),
        _section("Account, drawdown, trades, exposure", '<div id="figure"></div>'),
        _section("Returns by month, %", _months(result)),
        _section("Statistics", _stats(stats)),
        f'<div class="two">{_trials(trials)}{_data(result)}</div>',
        _section("Deepest drawdowns", _drawdowns(result)),
        _section("Worst trades", _worst_trades(result)),
        _section("What was not traded", _missed(result)),
    ]
    return "".join(parts)


def _section(title: str, body: str) -> str:
    return f"<section><h2>{html.escape(title)}</h2>{body}</section>"


def _listed(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in items) + "</ul>"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int, kind: str = "") -> str:
    """Return a table whose last `numbers` columns are right-aligned."""
    first = len(columns) - numbers

    def line(cells: Sequence[str], tag: str) -> str:
        inner = "".join(
            f"<{tag}{' class=n' if place >= first else ''}>{html.escape(cell)}</{tag}>"
            for place, cell in enumerate(cells)
        )
        return f"<tr>{inner}</tr>"

    body = "".join(line(row, "td") for row in rows)
    head = f"<thead>{line(columns, 'th')}</thead>" if any(columns) else ""
    return f'<div class="wide"><table class="{kind}">{head}<tbody>{body}</tbody></table></div>'


# ------------------------------------------------------------------------------------------------ parts
def _tiles(result: Results, stats: pd.Series) -> str:
    gained = result.total_return()
    tiles = [
        ("Total return", percent(gained), "good" if gained >= 0 else "bad"),
        ("Held instead", percent(stats["Benchmark Return [%]"] / 100), ""),
        ("Sharpe ratio", number(result.sharpe_ratio(), 3), ""),
        ("Max drawdown", percent(result.max_drawdown()), "bad" if result.max_drawdown() < 0 else ""),
        ("Win rate", percent(result.win_rate()), ""),
        ("Trades", f"{result.trades.count():,}", ""),
        ("Fees paid", number(stats["Total Fees Paid"]), ""),
    ]
    return '<div class="tiles">' + "".join(
        f'<div class="tile"><span>{name}</span><b class="{kind}">{html.escape(value)}</b></div>'
        for name, value, kind in tiles
    ) + "</div>"  # fmt: skip


def _band(result: Results) -> str:
    band = result.band()
    if not band.n_ambiguous_bars:
        return ""
    told = html.escape(band.verdict())
    decided = band.decides_sign()
    verdict = f'<section class="warn">{told[0].upper() + told[1:]}.</section>' if decided else ""
    shown = {name: percent for name in ("total return", "max drawdown", "win rate")}
    rows = [[str(name), *(shown.get(name, number)(v) for v in row)] for name, *row in band.summary().itertuples()]
    body = _table(["", "pessimistic", "neutral", "optimistic"], rows, numbers=3)
    note = "" if decided else f'<p class="sub">{told[0].upper() + told[1:]}.</p>'
    return verdict + _section("What happened inside ambiguous bars", note + body)


def _stats(stats: pd.Series) -> str:
    rows = [[str(name), _words(value)] for name, value in stats.items()]
    half = (len(rows) + 1) // 2
    tables = [_table(["", ""], part, numbers=1, kind="stats") for part in (rows[:half], rows[half:])]
    return f'<div class="columns">{"".join(tables)}</div>'


def _words(value: Any) -> str:
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M}"
    if value is pd.NaT:
        return "–"
    if isinstance(value, pd.Timedelta):
        return str(value.round("s")).removesuffix(" 00:00:00")
    return number(value) if isinstance(value, float) else f"{value:,}"


def _months(result: Results) -> str:
    table = 100 * result.monthly_returns()
    months = table.drop(columns="Year").to_numpy()
    widest = float(np.nanmax(np.abs(months))) or 1.0
    head = "".join(f"<th>{name}</th>" for name in ("", *table.columns))

    def cell(value: float, scale: float) -> str:
        if np.isnan(value):
            return "<td></td>"
        strength = min(abs(value) / scale, 1.0) * 0.55
        return f'<td style="background:rgba(var(--{"gain" if value >= 0 else "loss"}),{strength:.2f})">{value:.1f}</td>'

    years = float(np.nanmax(np.abs(table["Year"].to_numpy()))) or 1.0
    rows = "".join(
        f"<tr><td>{year}</td>{''.join(cell(v, widest) for v in row[:-1])}{cell(row[-1], years)}</tr>"
        for year, row in zip(table.index, table.to_numpy(), strict=True)
    )
    return f'<div class="wide"><table class="months"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _drawdowns(result: Results) -> str:
    frame = result.drawdowns.frame.nsmallest(_MOST_ROWS, "drawdown")
    if frame.empty:
        return '<p class="sub">none</p>'
    rows = [
        [_words(d.peak_timestamp), _words(d.valley_timestamp), _words(d.end_timestamp) if d.status == "recovered" else
         "not yet", _words(d.duration), percent(d.drawdown)]
        for d in frame.itertuples()
    ]  # fmt: skip
    return _table(["peak", "valley", "recovered", "time below the peak", "depth"], rows, numbers=2)


def _worst_trades(result: Results) -> str:
    frame = result.trades.frame
    if frame.empty:
        return '<p class="sub">none</p>'
    rows = [
        [t.symbol, t.direction, _words(t.entry_timestamp), number(t.entry_price, 6), _words(t.exit_timestamp),
         number(t.exit_price, 6), t.exit_kind or "still open", number(t.pnl), percent(t.part)]
        for t in frame.nsmallest(_MOST_ROWS, "pnl").rename(columns={"return": "part"}).itertuples()
    ]  # fmt: skip
    columns = ["symbol", "side", "entered", "at", "left", "at", "by", "PnL", "return"]
    return _table(columns, rows, numbers=2)


def _missed(result: Results) -> str:
    why = result.why_no_trades()
    body = f'<p class="sub">{html.escape(why.sentence)}</p>'
    missed = why.table[why.table["count"] > 0].nlargest(_MOST_ROWS, "count")
    if missed.empty:
        return body
    rows = [[str(r.column), str(r.reason), _words(r.first), f"{r.count_:,}"]
            for r in missed.rename(columns={"count": "count_"}).itertuples()]  # fmt: skip
    return body + _table(["column", "why", "first", "decisions"], rows, numbers=1)


def _data(result: Results) -> str:
    bars = result.bars
    missing = int(bars.close.isna().to_numpy().sum())
    rows = [
        ["bars", f"{bars.n_symbols} × {bars.n_times:,} of {bars.timeframe}"],
        ["missing", f"{missing:,} ({percent(missing / max(bars.close.size, 1))})"],
    ]
    if len(bars.gaps):
        rows += [[f"gaps: {reason}", f"{count:,}"] for reason, count in bars.gaps["reason"].value_counts().items()]
    return _section("Data", _table(["", ""], [*rows, ["hash", bars.content_hash[:16]]], numbers=1))


def _trials(trials: Any) -> str:
    if trials is None:
        return ""
    found = {
        label: trials.get(name) if isinstance(trials, Mapping) else getattr(trials, name, None)
        for name, label in (
            ("n_trials", "configurations tried"),
            ("effective_trials", "as many independent ones"),
            ("trial_variance", "variance of their Sharpe ratios"),
        )
    }
    rows = [[label, number(float(value))] for label, value in found.items() if value is not None]
    if not rows:
        raise ConfigError(
            f"trials must tell n_trials (a TrialLedger, a Study or a mapping), got {type(trials).__name__}"
        )
    return _section("Trials", _table(["", ""], rows, numbers=1))
