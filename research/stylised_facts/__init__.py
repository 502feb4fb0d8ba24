"""Does the synthetic market behave like a crypto market? Stylised facts, their bands and one figure.

Run it with ``python -m research.stylised_facts``; it writes into `data/figures`.
"""

from research.stylised_facts.facts import BANDS, Band, facts

__all__ = ["BANDS", "Band", "facts"]
