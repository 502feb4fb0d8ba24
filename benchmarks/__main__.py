"""Run benchmarks by name (all that need no download by default), print and keep their figures."""

from __future__ import annotations

import importlib
import sys

from benchmarks.timing import keep

EVERYDAY = ("data_layer", "sweep_w1_w2", "portfolio_w3_w4", "alpha158")
BY_NAME = (*EVERYDAY, "walk_forward", "beside", "install")


def main() -> int:
    """Measure what is asked for."""
    names = sys.argv[1:] or list(EVERYDAY)
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(BY_NAME)}", file=sys.stderr)
        return 2
    for name in names:
        figures = importlib.import_module(f"benchmarks.{name}").run()
        for figure in figures:
            print(f"{figure.name:<48} {figure.value:>10.3f} {figure.unit:<3} target {figure.target:<8} {figure.note}")
        print(f"kept in {keep(name, figures)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
