"""Run the quick profile on the published book and print the claims."""

from __future__ import annotations

import sys

from gwt_lab.places import data_folder
from gwt_lab.progress import progress
from research.paper2 import Spec, claims, run


def main() -> None:
    """Run, then print one block a claim."""
    figures = data_folder() / "reports" / "paper2"
    with progress("paper2") as line:
        stored = run(Spec.quick(), figures=figures, progress=line)
    for claim in claims(stored):
        sys.stdout.write("\n".join(f"{name}: {value}" for name, value in claim.to_dict().items()) + "\n\n")


if __name__ == "__main__":
    main()
