"""The whole way to the runner on one set of bars: train, validate, promote, replay."""

from research.promotion_demo.spec import Spec
from research.promotion_demo.study import Outcome, report, run

__all__ = ["Outcome", "Spec", "report", "run"]
