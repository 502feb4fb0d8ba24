"""The exceptions of gwt_lab, drawn as one tree.

::

    GwtLabError
    ├── DataError (ValueError)            input that cannot be used as it is
    │   ├── ShapeError                    lengths, columns or indexes that do not match
    │   └── ImportRefused                 a file whose meaning is ambiguous
    ├── UnknownNameError (LookupError)    a symbol, timeframe, metric, strategy or catalog name that does not exist
    ├── ConfigError (ValueError)          a setting that is missing, unknown or out of range
    ├── CatalogError (OSError)            a catalog that is damaged, read-only or full
    ├── LedgerError (OSError)             a trial ledger that is damaged, read-only, full or held by another process
    ├── VenueError (ConnectionError)      an exchange that answers wrongly or not at all
    ├── NotFittedError (RuntimeError)     a model asked to predict before it was trained
    ├── CausalityError (ValueError)       a function that looks into the future
    ├── BundleError (ValueError)          a bundle that is unsigned, changed or does not replay
    ├── GateError (RuntimeError)          a strategy that did not pass its gates
    └── MissingExtraError (ImportError)   an optional dependency that is not installed

A message has four parts: what was looked at, what was wanted, what came, what to do.
"""

from __future__ import annotations

__all__ = [
    "BundleError",
    "CatalogError",
    "CausalityError",
    "ConfigError",
    "DataError",
    "GateError",
    "GwtLabError",
    "ImportRefused",
    "LedgerError",
    "MissingExtraError",
    "NotFittedError",
    "ShapeError",
    "UnknownNameError",
    "VenueError",
]


class GwtLabError(Exception):
    """Root of every error that gwt_lab raises on purpose."""


class DataError(GwtLabError, ValueError):
    """Input data cannot be used as it is."""


class ShapeError(DataError):
    """Lengths, columns or indexes do not match."""


class ImportRefused(DataError):
    """A file's meaning is ambiguous, so it was not imported."""


class UnknownNameError(GwtLabError, LookupError):
    """A symbol, timeframe, metric, strategy or catalog name does not exist."""


class ConfigError(GwtLabError, ValueError):
    """A setting is missing, unknown or out of range."""


class CatalogError(GwtLabError, OSError):
    """The catalog is damaged, read-only or full."""


class LedgerError(GwtLabError, OSError):
    """The trial ledger is damaged, read-only, full or held by another process."""


class VenueError(GwtLabError, ConnectionError):
    """An exchange answered wrongly or not at all."""


class NotFittedError(GwtLabError, RuntimeError):
    """A model was asked to predict before it was trained."""


class CausalityError(GwtLabError, ValueError):
    """A function looks into the future or remembers more than it declares."""


class BundleError(GwtLabError, ValueError):
    """A bundle is unsigned, changed or does not replay."""


class GateError(GwtLabError, RuntimeError):
    """A strategy did not pass its gates."""


class MissingExtraError(GwtLabError, ImportError):
    """An optional dependency is not installed.

    Parameters
    ----------
    package : str
        The module that could not be imported.
    extra : str
        The extra of gwt_lab that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"'{package}' is not installed; it comes with the extra '{extra}': run `make install-{extra}` in a "
            f"checkout, or `pip install 'gwt_lab[{extra}]'`"
        )
