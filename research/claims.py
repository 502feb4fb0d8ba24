"""What a study says at the end: one row of the table `gwt reproduce` prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["INDICATIVE", "Claim"]

INDICATIVE = "indicative"


@dataclass(frozen=True)
class Claim:
    """A published claim beside what a run measured.

    Parameters
    ----------
    paper : str
        "paper1" or "paper2".
    claim : str
        The paper's words, with its numbers.
    measured : str
        Our number with its unit, from the stored run.
    interval : str
        Confidence interval, with its level and method.
    verdict : str
        "indicative" for a quick run; else supported, not supported or does not reproduce.
    figure : str
        Path of the figure, relative to the working folder where possible.
    run_id : str
        The stored run that holds every number above.
    """

    paper: str
    claim: str
    measured: str
    interval: str
    verdict: str
    figure: str
    run_id: str

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain values."""
        return asdict(self)
