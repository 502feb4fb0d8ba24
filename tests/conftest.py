"""What every test shares: its own places, and real bars where `GWT_REAL_DATA` names them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_places(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give each test a catalog, runs, ledger and keys of its own; nothing is written into the checkout."""
    folder = tmp_path_factory.mktemp("places", numbered=True)
    for name in ("CATALOG", "RUNS", "LEDGER", "KEYS", "BUNDLES", "LIVE", "SWEEPS"):
        monkeypatch.setenv(f"GWT_{name}", str(folder / name.lower()))


@pytest.fixture
def real_data() -> Path:
    """Return the folder of real bars, or skip and say so."""
    place = os.environ.get("GWT_REAL_DATA")
    if not place:
        pytest.skip("wants real bars: set GWT_REAL_DATA to a folder of Parquet files")
    return Path(place)
