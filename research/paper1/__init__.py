"""Paper 1: whether features of the market graph add accuracy to a model of time-series features."""

from research.paper1.spec import Spec
from research.paper1.study import claims, run

__all__ = ["Spec", "claims", "run"]
