"""The words for orders, and their codes inside the kernels.

The words are vectorbt's where it has them. Codes are plain integers, which compiled kernels read as constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gwt_lab.errors import ConfigError

__all__ = [
    "ACCUMULATION",
    "AMBIGUITY",
    "CALL_SEQ",
    "CONFLICT",
    "DIRECTION",
    "FILL_PRICES",
    "KIND_NAMES",
    "OPPOSITE_ENTRY",
    "SIZE_TYPE",
    "code_of",
    "plain_word",
]

# This is the only place that says how many bars lie between a decision and its fill.
# where an order is filled: bars between decision and fill, and the panel that gives the price
FILL_PRICES: Mapping[str, tuple[int, str]] = {
    "next_open": (1, "open"),
    "close": (0, "close"),
    "next_close": (1, "close"),
}

AMOUNT, VALUE, PERCENT, TARGET_AMOUNT, TARGET_VALUE, TARGET_PERCENT = range(6)
SIZE_TYPE = {
    "amount": AMOUNT,
    "value": VALUE,
    "percent": PERCENT,
    "targetamount": TARGET_AMOUNT,
    "targetvalue": TARGET_VALUE,
    "targetpercent": TARGET_PERCENT,
    "targetweight": TARGET_PERCENT,
}

LONG_ONLY, SHORT_ONLY, BOTH = range(3)
DIRECTION = {"longonly": LONG_ONLY, "shortonly": SHORT_ONLY, "both": BOTH}

NO_ACCUMULATION, ACCUMULATE_BOTH, ADD_ONLY, REMOVE_ONLY = range(4)
ACCUMULATION = {"disabled": NO_ACCUMULATION, "both": ACCUMULATE_BOTH, "addonly": ADD_ONLY, "removeonly": REMOVE_ONLY}

IGNORE, ENTRY, EXIT, ADJACENT, OPPOSITE = range(5)
CONFLICT = {"ignore": IGNORE, "entry": ENTRY, "exit": EXIT, "adjacent": ADJACENT, "opposite": OPPOSITE}

DIR_CONFLICT = {"ignore": IGNORE, "long": ENTRY, "short": EXIT, "adjacent": ADJACENT, "opposite": OPPOSITE}

OPPOSITE_IGNORE, OPPOSITE_CLOSE, OPPOSITE_CLOSE_REDUCE, OPPOSITE_REVERSE, OPPOSITE_REVERSE_REDUCE = range(5)
OPPOSITE_ENTRY = {
    "ignore": OPPOSITE_IGNORE,
    "close": OPPOSITE_CLOSE,
    "closereduce": OPPOSITE_CLOSE_REDUCE,
    "reverse": OPPOSITE_REVERSE,
    "reversereduce": OPPOSITE_REVERSE_REDUCE,
}

IN_ORDER, REVERSED, AUTO = range(3)
CALL_SEQ = {"default": IN_ORDER, "reversed": REVERSED, "auto": AUTO}

PESSIMISTIC, NEUTRAL, OPTIMISTIC = range(3)
AMBIGUITY = {"pessimistic": PESSIMISTIC, "neutral": NEUTRAL, "optimistic": OPTIMISTIC}

# why an order was filled, the sixth column of the fills
KIND_NAMES = (
    "order",
    "stop loss",
    "take profit",
    "trailing stop",
    "time stop",
    "liquidation",
    "delisting",
    "limit",
)
ORDER, STOP_LOSS, TAKE_PROFIT, TRAILING, TIME_STOP, LIQUIDATION, DELISTING, LIMIT = range(8)


def plain_word(word: Any) -> str:
    """Return a word as the tables spell it: "longonly" for "Long_Only"."""
    return str(word).lower().replace("_", "").replace(" ", "")


def code_of(words: Mapping[str, int], name: str, word: Any) -> int:
    """Return the code of a word such as "longonly" or "TargetPercent".

    Raises
    ------
    ConfigError
        If there is no such word; the message lists those that are.
    """
    plain = plain_word(word)
    if plain not in words:
        raise ConfigError(f"{name} must be one of {', '.join(words)}, got {word!r}")
    return words[plain]
