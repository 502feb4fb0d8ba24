"""`QualityReport`: the findings as objects, table, text and card."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.data.quality.findings import SEVERITIES, Finding
from gwt_lab.data.quality.panel import Panel
from gwt_lab.errors import CatalogError

__all__ = ["QualityReport", "coverage_of"]

_COLUMNS = ["severity", "check", "symbol", "first", "count", "what", "do"]
# parts that a coverage strip shows
_PARTS = 240


def coverage_of(panel: Panel) -> pd.DataFrame:
    """Return the share of bars that exist in each of up to 240 equal parts of the time, one column a symbol."""
    n = len(panel.index)
    edges = np.unique(np.linspace(0, n, min(n, _PARTS) + 1).astype(np.int64))
    if len(edges) < 2:
        return pd.DataFrame(columns=panel.symbols, dtype=float)
    present = np.add.reduceat(panel.present.astype(np.float64), edges[:-1], axis=0)
    return pd.DataFrame(present / np.diff(edges)[:, None], index=panel.index[edges[:-1]], columns=panel.symbols)


@dataclass(frozen=True, eq=False, repr=False)
class QualityReport:
    """What a check found.

    Parameters
    ----------
    findings : tuple of Finding
        Errors first.
    symbols : tuple of str
    timeframe : str
    start, end : Timestamp
        First and last open time.
    n_rows : int
        Rows (of raw data) or bars that were looked at.
    now : Timestamp or None
        The time that unfinished bars were told by.
    coverage : DataFrame
        Share of bars that exist by part of the time, one column a symbol.
    """

    findings: tuple[Finding, ...]
    symbols: tuple[str, ...]
    timeframe: str
    start: pd.Timestamp
    end: pd.Timestamp
    n_rows: int
    now: pd.Timestamp | None = None
    coverage: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def passed(self) -> bool:
        """Whether there is no error."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that make a backtest wrong."""
        return self.of("error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings to look at before the data are used."""
        return self.of("warning")

    def of(self, severity: str) -> tuple[Finding, ...]:
        """Return the findings of one severity."""
        return tuple(found for found in self.findings if found.severity == severity)

    def counts(self) -> dict[str, int]:
        """Return the number of findings by severity."""
        counted = Counter(found.severity for found in self.findings)
        return {severity: counted[severity] for severity in SEVERITIES}

    def to_frame(self) -> pd.DataFrame:
        """Return one row a finding: severity, check, symbol, first, count, what, do."""
        frame = pd.DataFrame([[getattr(found, name) for name in _COLUMNS] for found in self.findings], columns=_COLUMNS)
        times = pd.to_datetime(frame["first"], utc=True)
        return frame.assign(first=times.dt.as_unit("ns"), count=frame["count"].astype("int64"))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "passed": self.passed,
            "symbols": list(self.symbols),
            "timeframe": self.timeframe,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "rows": self.n_rows,
            "now": None if self.now is None else self.now.isoformat(),
            "counts": self.counts(),
            "findings": [found.to_dict() for found in self.findings],
        }

    def headline(self) -> str:
        """Return verdict and size in one line."""
        counts = self.counts()
        found = ", ".join(f"{n} {name}{'s' if n != 1 and name != 'info' else ''}" for name, n in counts.items())
        return (
            f"{'passed' if self.passed else 'failed'}: {found}; {len(self.symbols)} symbols, {self.n_rows:,} rows of "
            f"{self.timeframe}, {self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M} UTC"
        )

    def __repr__(self) -> str:
        lines = [f"QualityReport({self.headline()})"]
        rows = [
            (found.severity, found.check, found.symbol, _moment(found.first), f"{found.count:,}", found.what)
            for found in self.findings[:40]
        ]
        widths = [max((len(row[at]) for row in rows), default=0) for at in range(5)]
        for row in rows:
            cells = [f"{cell:>{widths[at]}}" if at == 4 else f"{cell:<{widths[at]}}" for at, cell in enumerate(row[:5])]
            lines.append("  " + "  ".join([*cells, row[5]]))
        if len(self.findings) > len(rows):
            lines.append(f"  ... and {len(self.findings) - len(rows)} more: .to_frame()")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from gwt_lab.data.quality.card import report_card

        return report_card(self)

    def to_html(self, path: str | Path, title: str = "Data quality") -> Path:
        """Write the card as one self-contained HTML file and return its path.

        Raises
        ------
        CatalogError
            If the file cannot be written.
        """
        from gwt_lab.data.quality.card import report_page

        place = Path(path)
        try:
            place.write_text(report_page(self, title), encoding="utf-8")
        except OSError as error:
            raise CatalogError(
                f"the report cannot be written to {place}: {error.strerror or error}; choose a folder that exists and "
                "that you may write"
            ) from None
        return place


def _moment(time: pd.Timestamp | None) -> str:
    return "–" if time is None else f"{time:%Y-%m-%d %H:%M}" + (f":{time:%S}" if time.second else "")
