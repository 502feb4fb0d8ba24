"""Walk the way on the embedded market: `python -m research.promotion_demo [folder for figures]`."""

from __future__ import annotations

import sys
from pathlib import Path

from gwt_lab.data.synthetic import synthetic_market
from gwt_lab.places import data_folder
from gwt_lab.progress import progress
from research.promotion_demo import report


def main() -> None:
    market = synthetic_market(n_assets=12, n_bars=8_000, timeframe="1h", seed=7, spillover=0.05)
    figures = Path(sys.argv[1]) if len(sys.argv) > 1 else data_folder() / "figures"
    with progress("promotion on synthetic bars") as line:
        rows, left = report(market.bars, market.truth, figures, line)
    for row in rows:
        sys.stdout.write(f"{row['claim']}: {row['measured']}; {row['interval']}; {row['verdict']}\n")
    for name, value in left.items():
        sys.stdout.write(f"{name}: {value}\n")


if __name__ == "__main__":
    main()
