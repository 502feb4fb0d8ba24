"""Read provider folders with qlib itself and leave what it said as Parquet and JSON; run as a program of its own.

    python qlib_reader.py JOBS.json

A job is {"provider", "freq", "fields", "handler", "out"}: `out` receives calendar.json, instruments.json,
features.parquet (every instrument, without the listing spans), listed.parquet (through `D.instruments`) and, with
"handler", alpha158.parquet.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path


def read(job: dict, database: str) -> None:
    import qlib
    from qlib.data import D

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
    out, freq, fields = Path(job["out"]), job["freq"], job["fields"]
    out.mkdir(parents=True)
    (out / "calendar.json").write_text(json.dumps([str(time) for time in D.calendar(freq=freq)]))
    spans = D.list_instruments(D.instruments("all"), freq=freq)
    plain = {code: [[str(edge) for edge in span] for span in found] for code, found in spans.items()}
    (out / "instruments.json").write_text(json.dumps(plain))
    D.features(list(spans), fields, freq=freq).to_parquet(out / "features.parquet")
    D.features(D.instruments("all"), fields, freq=freq).to_parquet(out / "listed.parquet")
    if job.get("handler"):
        from qlib.contrib.data.handler import Alpha158

        handler = Alpha158(instruments="all", freq=freq, infer_processors=[], learn_processors=[])
        handler.fetch(col_set="feature").to_parquet(out / "alpha158.parquet")


if __name__ == "__main__":
    jobs = json.loads(Path(sys.argv[1]).read_text())
    for one in jobs:
        read(one, str(Path(sys.argv[1]).with_name("mlflow.db")))
