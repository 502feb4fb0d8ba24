"""What qlib's own handlers say about bars: export, one process of qlib, frames back.

Run as a program, `features_qlib.py JOBS.json`, it is that process: for each {"provider", "freq", "out"} it leaves
alpha158.parquet and alpha360.parquet in `out`, without processors.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd


def qlib_features(markets: dict, root: Path) -> dict[str, dict[str, pd.DataFrame]]:
    """Return "alpha158" and "alpha360" of each market, indexed (datetime in UTC, instrument as our symbol)."""
    from gwt_lab.data.qlib_export import export_qlib

    jobs, codes = [], {}
    for name, bars in markets.items():
        export = export_qlib(bars, root / "providers" / name, empty_rows=False)
        codes[name] = {code: symbol for symbol, code in export.codes.items()}
        jobs.append({"provider": str(export.folder), "freq": export.freq, "out": str(root / name)})
    (root / "jobs.json").write_text(json.dumps(jobs))
    (root / "home").mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, str(root / "jobs.json")],
        cwd=root / "home",
        env=os.environ | {"HOME": str(root / "home")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {
        name: {kind: _ours(pd.read_parquet(root / name / f"{kind}.parquet"), codes[name]) for kind in KINDS}
        for name in markets
    }


KINDS = ("alpha158", "alpha360")


def _ours(frame: pd.DataFrame, codes: dict[str, str]) -> pd.DataFrame:
    assert frame.index.names == ["datetime", "instrument"]
    times = pd.DatetimeIndex(frame.index.get_level_values(0)).as_unit("ns").tz_localize("UTC")
    names = [codes[code] for code in frame.index.get_level_values(1)]
    return frame.set_axis(pd.MultiIndex.from_arrays([times, names], names=frame.index.names))


def main(jobs: list[dict], database: Path) -> None:
    import qlib
    from qlib.contrib.data.handler import Alpha158, Alpha360

    for job in jobs:
        qlib.init(
            provider_uri=job["provider"],
            region="us",
            kernels=1,
            logging_level=logging.ERROR,
            exp_manager={
                "class": "MLflowExpManager",
                "module_path": "qlib.workflow.expm",
                "kwargs": {"uri": f"sqlite:///{database}", "default_exp_name": "test"},
            },
        )
        out = Path(job["out"])
        out.mkdir(parents=True, exist_ok=True)
        for kind, handler in zip(KINDS, (Alpha158, Alpha360), strict=True):
            made = handler(instruments="all", freq=job["freq"], infer_processors=[], learn_processors=[])
            made.fetch(col_set="feature").to_parquet(out / f"{kind}.parquet")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[1]).with_name("mlflow.db"))
