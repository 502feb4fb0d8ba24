"""`Bundle`: a strategy that passed its gates, signed, with the bars and decisions it must reproduce."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.errors import BundleError, GwtLabError
from gwt_lab.market.bars import PANELS, Bars
from gwt_lab.market.costs import CostModel
from gwt_lab.market.instruments import Instrument
from gwt_lab.promotion.folder import canonical, read_signed, write_signed
from gwt_lab.promotion.keys import resolve_keys
from gwt_lab.strategies.base import Strategy
from gwt_lab.strategies.registry import strategy_from_dict

__all__ = ["Bundle", "Fixture", "write_bundle"]

SCHEMA = 1
_KEYS = {
    "schema", "created", "expires", "commit", "run_id", "strategy", "lookback", "symbols", "timeframe", "costs",
    "instruments", "gates", "data_hashes", "versions",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Fixture:
    """Recent bars and the decisions the strategy took on the last of them.

    Parameters
    ----------
    bars : Bars
        `lookback` bars and those decided on.
    decisions : DataFrame of shape (n_decisions, n_symbols)
        Target weights of the last rows; NaN holds.
    """

    bars: Bars
    decisions: pd.DataFrame

    def to_text(self) -> str:
        """Return the fixture as JSON; floats keep every bit, NaN is null."""
        names = [name for name in PANELS if getattr(self.bars, name) is not None]
        document = {
            "timeframe": self.bars.timeframe,
            "symbols": self.bars.symbols,
            "times_ns": self.bars.index.asi8.tolist(),
            "fields": {name: _nested(getattr(self.bars, name)) for name in names},
            "decisions": _nested(self.decisions),
        }
        return canonical(document).decode("ascii")

    @classmethod
    def from_text(cls, text: str) -> Fixture:
        """Return the fixture read from JSON."""
        document = json.loads(text)
        index = pd.DatetimeIndex(np.array(document["times_ns"], dtype=np.int64), tz="UTC", name="datetime")
        columns = pd.Index(document["symbols"], name="symbol")
        frames: dict[str, Any] = {
            name: pd.DataFrame(_panel(rows, len(columns)), index=index, columns=columns)
            for name, rows in document["fields"].items()
        }
        bars = Bars(**frames, timeframe=document["timeframe"])
        decided = _panel(document["decisions"], len(columns))
        return cls(bars, pd.DataFrame(decided, index=index[len(index) - len(decided) :], columns=columns))


def _nested(frame: pd.DataFrame) -> list[list[float | None]]:
    return [[None if value != value else value for value in row] for row in frame.to_numpy(dtype=np.float64).tolist()]


def _panel(rows: list[list[float | None]], n_columns: int) -> np.ndarray:
    values = [[np.nan if value is None else float(value) for value in row] for row in rows]
    return np.array(values, dtype=np.float64).reshape(len(rows), n_columns)


@dataclass(frozen=True, eq=False, repr=False)
class Bundle:
    """A promoted strategy, read from a signed folder.

    Parameters
    ----------
    path : Path
        The folder.
    document : dict
        What `bundle.json` says: strategy, costs, symbols, timeframe, gates, commit, data hashes, created, expires.
    texts : dict of str to str
        The strategy's texts (its model) by file name.
    fixture : Fixture
        Bars and decisions that a replay must reproduce.
    signer : str
        Id of the key that signed it.
    """

    path: Path
    document: dict[str, Any] = field(repr=False)
    texts: dict[str, str] = field(repr=False)
    fixture: Fixture = field(repr=False)
    signer: str

    @classmethod
    def load(
        cls, path: str | Path, trusted_keys: Iterable[str | Path] | None = None, *, now: datetime | None = None
    ) -> Bundle:
        """Read a bundle; the signature is verified before anything inside is parsed.

        Parameters
        ----------
        path : str or Path
            The bundle's folder.
        trusted_keys : iterable of str or Path, optional
            Public keys (64 hexadecimal digits) or files that hold them. None trusts this machine's own key alone.
        now : datetime, optional
            Time by which the expiry is judged; the present if not given.

        Returns
        -------
        Bundle

        Raises
        ------
        BundleError
            If the signature is wrong or not by a trusted key, a file was changed, added, removed or is a link or
            binary, the content is not of a known schema, or the bundle has expired. The message names the file.
        """
        folder = Path(path)
        files, signer = read_signed(folder, resolve_keys(trusted_keys))
        try:
            document = json.loads(files.pop("bundle.json"))
            fixture = Fixture.from_text(files.pop("fixture.json"))
            expires = datetime.fromisoformat(document["expires"])
        except (KeyError, ValueError, TypeError, GwtLabError) as error:
            raise BundleError(f"bundle {folder.name}: bundle.json or fixture.json cannot be used ({error!r})") from None
        if set(document) != _KEYS or document["schema"] != SCHEMA:
            raise BundleError(
                f"bundle {folder.name} has schema {document.get('schema')!r}; this version reads {SCHEMA}"
            )
        if (now or datetime.now(UTC)) >= expires:
            raise BundleError(
                f"bundle {folder.name} expired on {expires:%Y-%m-%d %H:%M} UTC: validate and promote anew"
            )
        return cls(folder, document, files, fixture, signer)

    # ------------------------------------------------------------------------------------------ what it holds
    @cached_property
    def id(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the content."""
        content = canonical({"document": self.document, "texts": self.texts, "fixture": self.fixture.to_text()})
        return hashlib.sha256(content).hexdigest()[:16]

    @property
    def symbols(self) -> list[str]:
        """Symbols, in the strategy's column order."""
        return list(self.document["symbols"])

    @property
    def timeframe(self) -> str:
        """Length of a bar."""
        return str(self.document["timeframe"])

    @property
    def costs(self) -> CostModel:
        """The costs under which the strategy was validated."""
        return CostModel.from_dict(self.document["costs"])

    @property
    def instruments(self) -> dict[str, Instrument]:
        """The venue's rules under which the strategy was validated, by symbol; empty if none were known."""
        return {name: Instrument.from_dict(rule) for name, rule in self.document["instruments"].items()}

    @property
    def gates(self) -> list[dict[str, Any]]:
        """Each gate's name, whether it passed, its numbers and its words."""
        return list(self.document["gates"])

    def strategy(self) -> Strategy:
        """Return the strategy, rebuilt from the registry of names and the bundle's texts.

        Raises
        ------
        BundleError
            If the registry has no such name or refuses the parameters.
        """
        try:
            built = strategy_from_dict(self.document["strategy"] | {"texts": self.texts})
        except (GwtLabError, TypeError, KeyError) as error:
            raise BundleError(f"bundle {self.path.name}: its strategy cannot be rebuilt: {error}") from None
        if built.lookback != self.document["lookback"]:
            raise BundleError(
                f"bundle {self.path.name}: strategy {built.name} looked back {self.document['lookback']} bars when "
                f"promoted, now {built.lookback}: promote anew with this version"
            )
        return built

    def __repr__(self) -> str:
        passed = ", ".join(gate["name"] for gate in self.gates)
        return (
            f"Bundle({self.document['strategy']['name']} on {len(self.symbols)} symbols of {self.timeframe}, id "
            f"{self.id}, gates passed: {passed}; expires {self.document['expires'][:10]}, signed by {self.signer})"
        )

    def _repr_html_(self) -> str:
        from gwt_lab.display import card, table_html

        rows = [
            ("strategy", f"{self.document['strategy']['name']}, lookback {self.document['lookback']} bars"),
            ("symbols", f"{', '.join(self.symbols)}, every {self.timeframe}"),
            ("costs", self.costs.describe()),
            *[(f"gate {gate['name']}", gate["detail"]) for gate in self.gates],
            ("made", f"{self.document['created']} from run {self.document['run_id']}"),
            ("expires", self.document["expires"]),
            ("signed by", self.signer),
        ]
        return card(f"Bundle {self.id}", table_html(("", ""), rows))


def write_bundle(document: dict[str, Any], texts: dict[str, str], fixture: Fixture, folder: Path) -> Bundle:
    """Write and sign a bundle, then read it back as a stranger would.

    Raises
    ------
    BundleError
        If the folder exists, keys are missing or unknown, or it does not read back.
    """
    if set(document) != _KEYS:
        raise BundleError(f"bundle.json needs exactly {', '.join(sorted(_KEYS))}; differs in {set(document) ^ _KEYS}")
    clash = set(texts) & {"bundle.json", "fixture.json"}
    if clash:
        raise BundleError(f"a strategy's text may not be named {', '.join(sorted(clash))}")
    files = {"bundle.json": canonical(document).decode("ascii"), "fixture.json": fixture.to_text(), **texts}
    write_signed(files, folder)
    return Bundle.load(folder)
