"""Paper 2: optimal execution. `Spec`, `run`, `claims`; ``python -m research.paper2`` runs the quick profile."""

from research.paper2.study import Spec, claims, run

__all__ = ["Spec", "claims", "run"]
