"""Run the quick profile on the embedded market: `python -m research.paper1 [folder for figures]`."""

from __future__ import annotations

import sys
from pathlib import Path

from gwt_lab.data.synthetic import synthetic_market
from gwt_lab.places import data_folder
from gwt_lab.progress import progress
from research.paper1 import Spec, claims, run


def main() -> None:
    market = synthetic_market(n_assets=12, n_bars=8_000, timeframe="1h", seed=7, spillover=0.05)
    figures = Path(sys.argv[1]) if len(sys.argv) > 1 else data_folder() / "figures"
    with progress("paper1 on synthetic bars") as line:
        stored = run(Spec.quick(), market.bars, truth=market.truth, figures=figures, progress=line)
    for claim in claims(stored):
        sys.stdout.write(f"{claim.claim}: {claim.measured}; {claim.interval}; {claim.verdict}\n")
    sys.stdout.write(f"figure: {stored.metrics['figure']}\nrun: {stored.id}\n")


if __name__ == "__main__":
    main()
