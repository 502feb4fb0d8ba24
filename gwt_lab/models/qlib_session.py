"""qlib for the length of a block: its one global state is set, used and put back. Nothing is logged anywhere."""

from __future__ import annotations

import atexit
import copy
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gwt_lab.errors import MissingExtraError

__all__ = ["qlib_session", "quiet_recorder", "require_qlib"]

# qlib keeps providers, caches and its recorder in module globals
_LOCK = threading.RLock()


def require_qlib() -> Any:
    """Return the module qlib.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import qlib
    except ImportError:
        raise MissingExtraError("qlib", "qlib") from None
    return qlib


class _Quiet:
    """Stands in for qlib's recorder: models log metrics to it, and nothing is kept (mlflow is not started)."""

    exp_manager = SimpleNamespace(active_experiment=None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


class QuietManager:
    """What `qlib.init` makes of our `exp_manager`."""

    active_experiment = None


@contextmanager
def quiet_recorder() -> Iterator[None]:
    """Let qlib's models log their metrics to nowhere inside the block."""
    from qlib.workflow import R

    with _LOCK:
        recorder = R.__dict__.get("_provider")
        R.__dict__["_provider"] = _Quiet()
        try:
            yield
        finally:
            R.__dict__["_provider"] = recorder


@contextmanager
def qlib_session(provider: Path) -> Iterator[None]:
    """Let qlib read `provider` inside the block, and be as it was after it.

    Parameters
    ----------
    provider : Path
        Folder of an `export_qlib`.

    Raises
    ------
    MissingExtraError
        If qlib is not installed.
    """
    qlib = require_qlib()
    from qlib.config import C
    from qlib.data.cache import H
    from qlib.data.data import register_all_wrappers
    from qlib.data.ops import register_all_ops
    from qlib.workflow import R

    with _LOCK:
        registered, config = C.registered, copy.deepcopy(C.__dict__["_config"])
        recorder, hook = R.__dict__.get("_provider"), sys.excepthook
        level = logging.getLogger("qlib").level
        R.__dict__["_provider"] = None
        manager = {"class": "QuietManager", "module_path": __name__, "kwargs": {}}
        try:
            qlib.init(
                provider_uri=str(provider), region="us", kernels=1, logging_level=logging.ERROR, exp_manager=manager
            )
            atexit.unregister(R.end_exp)
            R.__dict__["_provider"] = _Quiet()
            sys.excepthook = hook
            yield
        finally:
            H.clear()
            C.__dict__["_config"] = config
            C._registered = registered
            if registered:
                register_all_ops(C)
                register_all_wrappers(C)
            R.__dict__["_provider"] = recorder
            sys.excepthook = hook
            logging.getLogger("qlib").setLevel(level)
