"""How a strategy lies in a stored run: name and parameters in the spec, its texts (a model) as a table."""

from __future__ import annotations

import hashlib
from typing import Any

import pandas as pd

from gwt_lab.errors import BundleError, DataError
from gwt_lab.runs import Run
from gwt_lab.strategies.base import Strategy
from gwt_lab.strategies.registry import strategy_from_dict

__all__ = ["stored_strategy", "stored_texts", "strategy_arrays", "strategy_spec"]


def strategy_spec(strategy: Strategy) -> dict[str, Any]:
    """Return what goes into a run's spec: name, parameters, digests of the texts."""
    described = strategy.to_dict()
    return {
        "strategy": {"name": described["name"], "parameters": described["parameters"]},
        "texts_sha256": {name: _digest(text) for name, text in strategy.texts().items()},
    }


def strategy_arrays(strategy: Strategy) -> dict[str, pd.DataFrame]:
    """Return what goes into a run's arrays: the table `texts` with columns name and text."""
    texts = strategy.texts()
    return {"texts": pd.DataFrame({"name": list(texts), "text": list(texts.values())}, dtype=str)}


def stored_texts(run: Run) -> dict[str, str]:
    """Return a run's texts by file name.

    Raises
    ------
    BundleError
        If one differs from its digest in the spec.
    """
    table = run.array("texts")
    texts = dict(zip(table["name"], table["text"], strict=True))
    if {name: _digest(text) for name, text in texts.items()} != run.record["spec"]["texts_sha256"]:
        raise BundleError(f"run {run.id}: its model is not the one that was stored: make the run again")
    return texts


def stored_strategy(run: Run) -> Strategy:
    """Return the strategy of a run.

    Raises
    ------
    DataError
        If the run holds none.
    """
    spec = run.record["spec"]
    if not isinstance(spec.get("strategy"), dict) or "texts_sha256" not in spec:
        raise DataError(f"run {run.id} (study {run.record['study']}) holds no strategy: use a run of `gwt backtest`")
    return strategy_from_dict(spec["strategy"] | {"texts": stored_texts(run)})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
