"""An account and one fill: its state as arrays, who pays what, and how far an order is filled.

`market.bar` says what a whole bar does to an account; it calls `fill` for every order.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from gwt_lab.kernels import inner_kernel, kernel
from gwt_lab.market import orders as words
from gwt_lab.market.fills import _LOT_SLACK, DUST, held_after, price_paid

__all__ = [
    "N_FILL",
    "N_HELD",
    "N_MONEY",
    "Book",
    "Feed",
    "Log",
    "Plan",
    "Terms",
    "account_worth",
    "empty_book",
    "fill",
    "mark_bar",
    "pick",
    "roll_tier",
    "worth_of_accounts",
]

# columns of Book.money
CASH, SHORT_DEBT, FUNDING, TRADED, TIER_DAY = range(5)
TIER_DAYS = 30
N_MONEY = 5 + TIER_DAYS
# columns of Book.held
# BASE and PEAK are the prices that target and stop count from; LEFT the bars until the time stop; LIMIT_SL and LIMIT_TP
# the stops of a resting order, LIMIT_SIZE, LIMIT_SHARE and LIMIT_SIDE the order; STOPPED and LATE say that the position
# was closed or opened inside the bar
POSITION, DEBT, LAST, BASE, PEAK, SL, TP, LEFT, LIMIT, LIMIT_SIZE, LIMIT_LEFT, LIMIT_SL, LIMIT_TP, STOPPED = range(14)
LIMIT_SHARE, LIMIT_SIDE, LATE = range(14, 17)
N_HELD = 17
# columns of Log.fills: row, column, signed amount, price paid, fee, kind
N_FILL = 6
# positions in Terms.rates
TAKER, SLIPPAGE, FIXED, IMPACT, MAKER = range(5)


class Feed(NamedTuple):
    """Bars as arrays of shape (n_times, n_symbols); NaN where there is no bar.

    `fill` is the price of orders, `funding_open` and `funding_inside` the rates due at a bar's open and later inside it
    (shape (1, 1) if there are none), `last_row` the row after which a symbol trades no more (-1: it does not end),
    `day` the day of each row.
    """

    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    fill: np.ndarray
    funding_open: np.ndarray
    funding_inside: np.ndarray
    last_row: np.ndarray
    day: np.ndarray


class Plan(NamedTuple):
    """What is decided, row by row.

    `signal` has shape (n_times, n_columns): bits 1 long entry, 2 long exit, 4 short entry, 8 short exit; shape (0, 0)
    means that `size` holds orders instead. The others have shape (n_times or 1, n_columns or 1); NaN in `size` is no
    order, NaN in a stop is no stop. `limit` is how far below (buy) or above (sell) the deciding close, `reference`, an
    entry rests, as a fraction. With a `drift` above 0 target shares are traded only when one is missed by that much.
    `active`, of shape (n_times,), says which rows may hold a decision; of shape (0,) all may.
    """

    signal: np.ndarray
    size: np.ndarray
    sl_stop: np.ndarray
    tp_stop: np.ndarray
    limit: np.ndarray
    reference: np.ndarray
    drift: float
    active: np.ndarray


class Terms(NamedTuple):
    """Settings of a simulation, as numbers.

    `rates`: taker fee, slippage, fixed fee, impact coefficient, maker fee. `rules`: lot, smallest amount, smallest
    value and tick by symbol, shape (n_symbols, 4). `tiers`: traded value of 30 days from which a taker and a maker fee
    hold, shape (n_tiers, 3).
    """

    at_open: bool
    size_type: int
    direction: int
    accumulate: int
    long_conflict: int
    short_conflict: int
    dir_conflict: int
    opposite_entry: int
    call_seq: int
    ambiguity: int
    sl_trail: bool
    time_stop: int
    limit_bars: int
    stop_market: bool
    leverage: float
    maintenance: float
    delist: bool
    rates: np.ndarray
    rules: np.ndarray
    tiers: np.ndarray


class Book(NamedTuple):
    """The state of accounts.

    `money` (n_accounts, N_MONEY), `held` (n_columns, N_HELD); which symbol a column trades; where the columns of each
    account begin (n_accounts + 1); and two places of n_columns to sort orders in.
    """

    money: np.ndarray
    held: np.ndarray
    symbol_of: np.ndarray
    first: np.ndarray
    worth: np.ndarray
    sequence: np.ndarray


class Log(NamedTuple):
    """What is written down: fills of shape (most, N_FILL) and how many there are, shape (1,)."""

    fills: np.ndarray
    written: np.ndarray


def empty_book(init_cash: np.ndarray, symbol_of: np.ndarray, first: np.ndarray) -> Book:
    """Return accounts that hold nothing but cash."""
    money = np.zeros((len(init_cash), N_MONEY))
    money[:, CASH] = init_cash
    held = np.zeros((len(symbol_of), N_HELD))
    held[:, [SL, TP, LIMIT]] = np.nan
    n_columns = len(symbol_of)
    return Book(money, held, symbol_of, first, np.empty(n_columns), np.empty(n_columns, dtype=np.int64))


# ------------------------------------------------------------------------------------------------ small rules
@inner_kernel
def pick(array: np.ndarray, row: int, column: int) -> float:
    """Return an element of an array whose axes may have length 1 for "the same everywhere"."""
    return array[row if array.shape[0] > 1 else 0, column if array.shape[1] > 1 else 0]


@inner_kernel
def account_worth(book: Book, account: int) -> float:
    """Return cash plus positions at their last known prices."""
    worth = book.money[account, CASH]
    for j in range(book.first[account], book.first[account + 1]):
        if book.held[j, POSITION] != 0.0:
            worth += book.held[j, POSITION] * book.held[j, LAST]
    return worth


@kernel
def worth_of_accounts(book: Book) -> np.ndarray:
    """Return what each account is worth at the last known prices, shape (n_accounts,)."""
    worth = np.empty(len(book.money))
    for account in range(len(worth)):
        worth[account] = account_worth(book, account)
    return worth


@inner_kernel
def mark_bar(i: int, feed: Feed, book: Book) -> None:
    """Carry the last known price of every column through one bar: its close, else its fill price, else as before."""
    for j in range(len(book.held)):
        s = book.symbol_of[j]
        if not math.isnan(feed.close[i, s]):
            book.held[j, LAST] = feed.close[i, s]
        elif not math.isnan(feed.fill[i, s]):
            book.held[j, LAST] = feed.fill[i, s]


@inner_kernel
def _fee_rate(money: np.ndarray, maker: bool, terms: Terms) -> float:
    taker_fee, maker_fee = terms.rates[TAKER], terms.rates[MAKER]
    for t in range(len(terms.tiers)):
        if money[TRADED] >= terms.tiers[t, 0]:
            taker_fee, maker_fee = terms.tiers[t, 1], terms.tiers[t, 2]
    return maker_fee if maker else taker_fee


@inner_kernel
def roll_tier(money: np.ndarray, day: int, terms: Terms) -> None:
    """Let the traded value of days that are 30 days past fall out of the sum by which the fee tier is chosen."""
    if len(terms.tiers) == 0 or money[TIER_DAY] == day:
        return
    passed = min(day - int(money[TIER_DAY]), TIER_DAYS)
    for back in range(passed):
        money[5 + (day - back) % TIER_DAYS] = 0.0
    money[TIER_DAY] = day
    total = 0.0
    for slot in range(TIER_DAYS):
        total += money[5 + slot]
    money[TRADED] = total


# ------------------------------------------------------------------------------------------------ how much
@inner_kernel
def _room(account: int, j: int, price: float, paid: float, fee: float, side: float, terms: Terms, book: Book) -> float:
    """Return how much of column `j` a margin account may buy (side 1) or sell (side -1).

    After the order the positions are worth at most `leverage` times the account. What closes a position is always
    allowed.
    """
    equity, others = book.money[account, CASH], 0.0
    for k in range(book.first[account], book.first[account + 1]):
        held = book.held[k, POSITION]
        if held != 0.0:
            mark = price if k == j else book.held[k, LAST]
            equity += held * mark
            if k != j:
                others += abs(held) * mark
    held = book.held[j, POSITION] * side
    lost = (paid - price) * side + paid * fee
    room = (terms.leverage * (equity - terms.rates[FIXED]) - others - held * price) / (price + terms.leverage * lost)
    # what rounding leaves of a margin that is used up is no room
    if room * price <= DUST * terms.leverage * equity:
        room = 0.0
    return max(room, -held, 0.0)


@inner_kernel
def _most_to_sell(account: int, held: float, paid: float, fee: float, terms: Terms, book: Book) -> float:
    """Return how much may be sold when all is asked for: what is held, and a short as large as the free cash."""
    long = max(held, 0.0)
    free = book.money[account, CASH] - 2.0 * book.money[account, SHORT_DEBT] + long * paid * (1.0 - fee)
    # what rounding leaves of cash that is used up is none
    if free <= DUST * book.money[account, CASH]:
        return long
    return max(long + (free - terms.rates[FIXED]) / (paid * (1.0 + fee)), 0.0)


@inner_kernel
def _sale(
    account: int,
    j: int,
    order: tuple[float, float, int, float],
    price: float,
    paid: float,
    fee: float,
    terms: Terms,
    book: Book,
) -> float:
    """Return how much of a sale can be done."""
    size, percent, direction = -order[0], order[1], order[2]
    held = book.held[j, POSITION]
    if direction == words.LONG_ONLY:
        size = min(size, max(held, 0.0))
    elif terms.leverage != 1.0:
        size = min(size, _room(account, j, price, paid, fee, -1.0, terms, book))
    elif math.isinf(size):
        size = _most_to_sell(account, held, paid, fee, terms, book)
    return size if math.isnan(percent) else percent * size


@inner_kernel
def _purchase(
    account: int,
    j: int,
    order: tuple[float, float, int, float],
    price: float,
    paid: float,
    fee: float,
    terms: Terms,
    book: Book,
) -> tuple[float, float]:
    """Return how much of a buy can be done, and what it spends where that is all there is (else NaN)."""
    size, percent, direction = order[0], order[1], order[2]
    if direction == words.SHORT_ONLY:
        size = min(size, max(-book.held[j, POSITION], 0.0))
    if terms.leverage != 1.0:
        room = _room(account, j, price, paid, fee, 1.0, terms, book)
        return min(size, room if math.isnan(percent) else percent * room), math.nan
    purse = book.money[account, CASH]
    if not math.isnan(percent):
        purse = min(purse, percent * purse)
    if size * paid * (1.0 + fee) + terms.rates[FIXED] > purse:
        return max((purse - terms.rates[FIXED]) / (1.0 + fee) / paid, 0.0), purse
    return size, math.nan


# ------------------------------------------------------------------------------------------------ one fill
@inner_kernel
def _slip(
    i: int,
    account: int,
    j: int,
    order: tuple[float, float, int, float],
    price: float,
    fee: float,
    feed: Feed,
    terms: Terms,
    book: Book,
) -> float:
    """Return slippage and impact as a fraction of the price: impact grows with the root of the share of the volume."""
    slip = terms.rates[SLIPPAGE]
    volume = feed.volume[i, book.symbol_of[j]]
    if terms.rates[IMPACT] > 0.0 and volume > 0.0:
        buying = order[0] > 0.0
        paid = price * (1.0 + slip) if buying else price * (1.0 - slip)
        if buying:
            size = _purchase(account, j, order, price, paid, fee, terms, book)[0]
        else:
            size = _sale(account, j, order, price, paid, fee, terms, book)
        slip = min(slip + terms.rates[IMPACT] * math.sqrt(size / volume), 0.99)
    return slip


@inner_kernel
def _settle(money: np.ndarray, held: np.ndarray, signed: float, paid: float, cost: float, terms: Terms) -> None:
    """Write a trade into the book: `cost` leaves the cash (negative: comes in)."""
    before = held[POSITION]
    after = held_after(before, signed)
    if before < 0.0 and signed > 0.0:
        covered = held[DEBT] if after >= 0.0 else held[DEBT] * (signed / -before)
        held[DEBT] -= covered
        money[SHORT_DEBT] -= covered
        if after >= 0.0:
            held[DEBT] = 0.0
    elif after < 0.0 and signed < 0.0:
        owed = min(-signed, -after) * paid
        held[DEBT] += owed
        money[SHORT_DEBT] += owed
    held[POSITION] = after
    money[CASH] -= cost
    if len(terms.tiers):
        money[TRADED] += abs(signed) * paid
        money[5 + int(money[TIER_DAY]) % TIER_DAYS] += abs(signed) * paid


@inner_kernel
def fill(
    i: int, account: int, j: int, order: tuple[float, float, int, float], price: float, kind: int, slips: bool,
    feed: Feed, terms: Terms, book: Book, log: Log,
) -> float:  # fmt: skip
    """Fill one order as far as account and venue allow; change the book, write the log, return the signed amount.

    Parameters
    ----------
    order : tuple of (float, float, int, float)
        Signed amount in base currency (infinite: all that can be), the share of all that can be (NaN: all of it), the
        direction: `LONG_ONLY` sells no more than is held, `SHORT_ONLY` buys no more than is owed; and its limit, than
        which no price is worse (NaN: none).
    price : float
        Before slippage.
    kind : int
        Written to the log; a limit pays the maker's fee.
    slips : bool
        Whether slippage and impact are paid.
    """
    if math.isnan(order[0]) or math.isnan(price) or order[0] == 0.0:
        return 0.0
    money, rules = book.money[account], terms.rules[book.symbol_of[j]]
    buying, spent = order[0] > 0.0, math.nan
    rate = _fee_rate(money, kind == words.LIMIT, terms)
    slip = _slip(i, account, j, order, price, rate, feed, terms, book) if slips else 0.0
    paid = price_paid(price, buying, slip, rules[3])
    if not math.isnan(order[3]):
        paid = min(paid, order[3]) if buying else max(paid, order[3])
    if buying:
        amount, spent = _purchase(account, j, order, price, paid, rate, terms, book)
    else:
        amount = _sale(account, j, order, price, paid, rate, terms, book)
    if rules[0] > 0.0:
        spent = math.nan
        amount = math.floor(amount / rules[0] + _LOT_SLACK) * rules[0]
        # the slack may round up past the cash by less than one lot's slack
        if buying and terms.leverage == 1.0 and amount * paid * (1.0 + rate) + terms.rates[FIXED] > money[CASH]:
            amount -= rules[0]
    value = amount * paid
    # a buy that takes all there is spends exactly that, so that no rounding leaves a debt
    fee = value * rate + terms.rates[FIXED] if math.isnan(spent) else spent - value
    if amount <= 0.0 or amount < rules[1] or value < rules[2] or (not buying and value < fee):
        return 0.0
    signed = amount if buying else -amount
    cost = (value + fee if math.isnan(spent) else spent) if buying else -(value - fee)
    _settle(money, book.held[j], signed, paid, cost, terms)
    count = log.written[0]
    if count < len(log.fills):
        log.fills[count, 0], log.fills[count, 1], log.fills[count, 2] = i, j, signed
        log.fills[count, 3], log.fills[count, 4], log.fills[count, 5] = paid, fee, kind
    log.written[0] = count + 1
    return signed
