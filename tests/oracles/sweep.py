"""The accounts and signals of a sweep, slow and plain: lists, loops, exact fractions where averages are compared."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from fractions import Fraction

from tests.oracles.fills import Account, Costs, Rule, fill, missing


# ------------------------------------------------------------------------------------------------ accounts
@dataclass
class Trades:
    """Closed trades and what is open."""

    gains: list[float] = field(default_factory=list)
    entry_value: float = 0.0
    entry_fee: float = 0.0
    realised: float = 0.0

    def settle(self, held: float, filled: float, paid: float, fee: float) -> None:
        size = abs(filled)
        if held * filled < 0:
            closing = min(size, abs(held))
            share = closing / abs(held)
            change = closing * paid - self.entry_value * share
            exit_fee = fee * closing / size
            self.realised += (change if held > 0 else -change) - self.entry_fee * share - exit_fee
            self.entry_value *= 1 - share
            self.entry_fee *= 1 - share
            size -= closing
            fee -= exit_fee
            if closing == abs(held):
                self.gains.append(self.realised)
                self.realised = 0.0
        if size > 0:
            self.entry_value += size * paid
            self.entry_fee += fee


class PlainAccount:
    """One symbol, one account, one bar at a time."""

    def __init__(self, bars: dict[str, list[float]], rules) -> None:
        self.bars, self.rules = bars, rules
        self.account = Account(rules.init_cash, [0.0])
        self.trades = Trades()
        self.fees = self.traded = 0.0
        self.orders: list[tuple[int, float, float, float]] = []
        self.loss_base = self.gain_base = math.nan
        self.opened_at = -1
        self.values: list[float] = []
        self.held: list[bool] = []
        self.mark = math.nan

    @property
    def amount(self) -> float:
        return self.account.held[0]

    def order(self, bar: int, side: int, price: float, slippage: float) -> None:
        """Go all long, all short or out."""
        rules, held = self.rules, self.amount
        costs = Costs(rules.fees, slippage, rules.fixed_fees)
        amount = -held
        if side > 0:
            amount = math.inf
        elif side < 0:
            paid = price * (1 - slippage)
            free = self.account.cash + held * paid * (1 - rules.fees)
            amount = -max(held + (free - rules.fixed_fees) / (paid * (1 + rules.fees)), 0.0) if free > 0 else -held
        done = fill(self.account, 0, amount, price, costs, Rule())
        if done is None:
            return
        _, filled, paid, fee = done
        self.account.held[0] = held + filled
        self.trades.settle(held, filled, paid, fee)
        self.orders.append((bar, filled, paid, fee))
        self.fees += fee
        self.traded += abs(filled) * paid
        if self.amount != 0 and (held == 0 or (held > 0) != (self.amount > 0)):
            self.loss_base = self.gain_base = price
            self.opened_at = bar

    def stop_price(self, bar: int) -> float:
        """Return where a stop is hit in this bar, NaN where none is."""
        rules, side = self.rules, (1 if self.amount > 0 else -1)
        close = self.bars["close"][bar]
        open_ = self.bars["open"][bar]
        open_ = close if missing(open_) else open_
        high, low = self.bars["high"][bar], self.bars["low"][bar]
        known = [x for x in (open_, close) if not missing(x)] or [math.nan]
        high = max(known) if missing(high) else high
        low = min(known) if missing(low) else low
        loss_at = self.loss_base * (1 - side * rules.sl_stop)
        gain_at = self.gain_base * (1 + side * rules.tp_stop)
        if side > 0:
            best, worst = high, low
            loss_open, gain_open = open_ <= loss_at, open_ >= gain_at
            loss, gain = worst <= loss_at, best >= gain_at
        else:
            best, worst = low, high
            loss_open, gain_open = open_ >= loss_at, open_ <= gain_at
            loss, gain = worst >= loss_at, best <= gain_at
        price = math.nan
        if loss_open or gain_open:
            price = open_
        elif loss and gain:
            first_loss = rules.ambiguity == "pessimistic" or (
                rules.ambiguity == "neutral" and abs(open_ - loss_at) <= abs(gain_at - open_)
            )
            price = loss_at if first_loss else gain_at
        elif loss or gain:
            price = loss_at if loss else gain_at
        if missing(price) and rules.sl_trail and side * best > side * self.loss_base:
            self.loss_base = best
        return price

    def wanted(self, entry: bool, exit_: bool) -> int | None:
        """Return the side that a signal asks for, None for nothing."""
        direction, held = self.rules.direction, self.amount
        if entry and exit_:
            return None
        if direction == "both":
            if entry:
                return 1 if held <= 0 else None
            return -1 if exit_ and held >= 0 else None
        if entry and held == 0:
            return 1 if direction == "longonly" else -1
        return 0 if exit_ and held != 0 else None

    def due(self, bar: int) -> bool:
        return self.rules.time_stop > 0 and self.amount != 0 and bar >= self.opened_at + self.rules.time_stop

    def step(self, bar: int, entry: bool, exit_: bool) -> None:
        """Trade one bar; `entry` and `exit_` are the signals that are filled in it."""
        rules = self.rules
        at_close = rules.price == "close"
        fill_price = self.bars["close" if at_close else "open"][bar]
        if at_close and self.amount != 0:
            price = self.stop_price(bar)
            if not missing(price):
                self.order(bar, 0, price, 0.0)
                return self.book(bar, fill_price)
        if self.due(bar) and not missing(fill_price):
            self.order(bar, 0, fill_price, rules.slippage)
        side = self.wanted(entry, exit_)
        if side is not None and not missing(fill_price):
            self.order(bar, side, fill_price, rules.slippage)
        if not at_close and self.amount != 0:
            price = self.stop_price(bar)
            if not missing(price):
                self.order(bar, 0, price, 0.0)
        return self.book(bar, fill_price)

    def book(self, bar: int, fill_price: float) -> None:
        for price in (self.bars["close"][bar], fill_price):
            if not missing(price):
                self.mark = price
                break
        self.values.append(self.account.cash + (self.amount * self.mark if self.amount != 0 else 0.0))
        self.held.append(self.amount != 0)


def plain_account(bars: dict[str, list[float]], entries, exits, rules) -> PlainAccount:
    """Run the signals, booleans of every bar, through an account."""
    account = PlainAccount({name: [float(x) for x in values] for name, values in bars.items()}, rules)
    n = len(account.bars["close"])
    delay = 0 if rules.price == "close" else 1
    for bar in range(n):
        decided = bar - delay
        signal = (bool(entries[decided]), bool(exits[decided])) if decided >= 0 else (False, False)
        account.step(bar, *signal)
    return account


def plain_sweep_metrics(account: PlainAccount, bars_per_year: float) -> dict[str, float]:
    """Return every metric by its definition."""
    start, values = account.rules.init_cash, account.values
    path = [start, *values]
    returns = [(after - before) / abs(before) if before != 0 else 0.0 for before, after in itertools.pairwise(path)]
    n = len(returns)
    mean = math.fsum(returns) / n
    spread = math.sqrt(math.fsum((r - mean) ** 2 for r in returns) / (n - 1)) if n > 1 else math.nan
    downside = math.sqrt(math.fsum(min(r, 0.0) ** 2 for r in returns) / n)
    peak, deepest = values[0], 0.0
    for value in values:
        peak = max(peak, value)
        deepest = min(deepest, value / peak - 1)
    growth = values[-1] / start
    try:
        yearly = growth ** (bars_per_year / n) - 1 if growth > 0 else -1.0
    except OverflowError:
        yearly = math.inf
    gains = account.trades.gains
    wins, losses = [g for g in gains if g > 0], [g for g in gains if g <= 0]
    root = math.sqrt(bars_per_year)

    def over(a: float, b: float) -> float:
        return a / b if b > 0 else math.nan

    return {
        "total_return": growth - 1,
        "annualized_return": yearly,
        "sharpe_ratio": over(mean * root, spread),
        "sortino_ratio": over(mean * root, downside),
        "calmar_ratio": over(yearly, -deepest),
        "max_drawdown": deepest,
        "volatility": spread * root,
        "win_rate": over(len(wins), len(gains)),
        "profit_factor": over(math.fsum(wins), -math.fsum(losses)),
        "expectancy": over(math.fsum(gains), len(gains)),
        "n_trades": len(gains) + (account.held[-1] if account.held else 0),
        "turnover": over(account.traded, math.fsum(values) / n),
        "time_in_market": sum(account.held) / n,
        "total_fees": account.fees,
        "final_value": values[-1],
    }


# ------------------------------------------------------------------------------------------------ signals
def exact_means(close, window: int) -> list[Fraction | None]:
    """Return the moving average as an exact fraction, None where a bar of the window is missing."""
    exact = [None if missing(x) else Fraction(float(x)) for x in close]
    out: list[Fraction | None] = []
    for bar in range(len(exact)):
        part = exact[bar - window + 1 : bar + 1] if bar >= window - 1 else [None]
        out.append(None if None in part else sum(part, Fraction(0)) / window)
    return out


def crossings_of(left, right, patience: int, tie: float = 1e-12) -> tuple[list[bool], list[bool]]:
    """Return where `left` crosses above and below `right`; None or NaN forgets the side, as do too many ties."""
    up, down = [], []
    side = age = 0
    for a, b in zip(left, right, strict=True):
        crossed = 0
        if a is None or b is None or missing(a) or missing(b):
            side = age = 0
        elif abs(a - b) <= tie * abs(b):
            age += 1
            if age > patience:
                side = 0
        else:
            now = 1 if a > b else -1
            crossed = now if side == -now else 0
            side, age = now, 0
        up.append(crossed == 1)
        down.append(crossed == -1)
    return up, down


def ma_cross_signals(close, fast: int, slow: int) -> tuple[list[bool], list[bool]]:
    """Return entries and exits of the crossing of two simple averages, from exact fractions."""
    return crossings_of(exact_means(close, fast), exact_means(close, slow), max(fast, slow) - 1)


def exponential(values, window: int, share: float) -> list[float]:
    """Return an average that begins as the mean of the first `window` values after every hole."""
    out: list[float] = []
    run: list[float] = []
    for value in values:
        run = [] if missing(value) else [*run, value]
        if len(run) < window:
            out.append(math.nan)
        elif len(run) == window:
            out.append(math.fsum(run) / window)
        else:
            out.append(out[-1] + share * (value - out[-1]))
    return out


def windows_of(values, window: int) -> list[list[float] | None]:
    """Return the last `window` values of every bar, None where one is missing."""
    out: list[list[float] | None] = []
    for bar in range(len(values)):
        part = values[bar - window + 1 : bar + 1] if bar >= window - 1 else [math.nan]
        out.append(None if any(missing(x) for x in part) else part)
    return out


def deviation(part: list[float] | None, lost: int) -> float:
    if part is None:
        return math.nan
    mean = sum(map(Fraction, part), Fraction(0)) / len(part)
    return math.sqrt(sum(((Fraction(x) - mean) ** 2 for x in part), Fraction(0)) / (len(part) - lost))


def strength(close, window: int) -> list[float]:
    """Return Wilder's relative strength index."""
    changes = [math.nan] + [b - a for a, b in itertools.pairwise(close)]
    gains = exponential([math.nan if missing(x) else max(x, 0.0) for x in changes], window, 1 / window)
    losses = exponential([math.nan if missing(x) else max(-x, 0.0) for x in changes], window, 1 / window)
    return [
        math.nan if missing(g) else (50.0 if g + l == 0 else 100 * g / (g + l))
        for g, l in zip(gains, losses, strict=True)  # noqa: E741
    ]


def beyond(values, levels, sign: int) -> list[bool]:
    """Return where values lie above (1) or below (-1) levels, by more than a tie."""
    return [sign * (a - b) > 1e-12 * abs(b) for a, b in zip(values, levels, strict=True)]


def _floats(means) -> list[float]:
    return [math.nan if x is None else float(x) for x in means]


def ema_cross_signals(bars, fast, slow):
    fast_row, slow_row = (exponential(bars["close"], n, 2 / (n + 1)) for n in (fast, slow))
    return crossings_of(fast_row, slow_row, max(fast, slow) - 1)


def macd_signals(bars, fast, slow, signal):
    fast_row, slow_row = (exponential(bars["close"], n, 2 / (n + 1)) for n in (fast, slow))
    line = exponential([a - b for a, b in zip(fast_row, slow_row, strict=True)], signal, 2 / (signal + 1))
    return crossings_of(fast_row, [a + b for a, b in zip(slow_row, line, strict=True)], slow + signal - 1)


def rsi_signals(bars, window, lower, upper):
    row = strength(bars["close"], window)
    return beyond(row, [lower] * len(row), -1), beyond(row, [upper] * len(row), 1)


def zscore_signals(bars, window, entry, exit):
    close = bars["close"]
    means = _floats(exact_means(close, window))
    spreads = [deviation(part, 0) for part in windows_of(close, window)]
    low, high = ([m - k * d for m, d in zip(means, spreads, strict=True)] for k in (entry, exit))
    return beyond(close, low, -1), beyond(close, high, 1)


def bollinger_signals(bars, window, width):
    return zscore_signals(bars, window, width, 0.0)


def donchian_signals(bars, entry, exit):
    def before(values, window, pick):
        parts = [None, *windows_of(values, window)[:-1]]
        return [math.nan if part is None else pick(part) for part in parts]

    close = bars["close"]
    return beyond(close, before(bars["high"], entry, max), 1), beyond(close, before(bars["low"], exit, min), -1)


def momentum_signals(bars, window, threshold):
    close = bars["close"]
    growth = [close[i] / close[i - window] if i >= window else math.nan for i in range(len(close))]
    return beyond(growth, [1 + threshold] * len(close), 1), beyond(growth, [1 - threshold] * len(close), -1)


def volatility_filter_signals(bars, fast, slow, vol_window, max_vol, bars_per_year=8760.0):
    close = bars["close"]
    up, down = ma_cross_signals(close, fast, slow)
    returns = [math.nan] + [b / a - 1 for a, b in itertools.pairwise(close)]
    row = [deviation(part, 1) * math.sqrt(bars_per_year) for part in windows_of(returns, vol_window)]
    calm, wild = (beyond(row, [max_vol] * len(row), sign) for sign in (-1, 1))
    return [a and b for a, b in zip(up, calm, strict=True)], [a or b for a, b in zip(down, wild, strict=True)]


def best_returns_weights(close, window, top, every, bottom, steps):
    """Return target weights, rows of bars; `close` are rows of bars, None holds."""
    out = []
    for bar, row in enumerate(close):
        weights = [math.nan] * len(row)
        if steps[bar] % every == 0 and bar >= window:
            scores = [(now / then, -j) for j, (now, then) in enumerate(zip(row, close[bar - window], strict=True))]
            ranked = sorted((score for score in scores if not missing(score[0])), reverse=True)
            if len(ranked) >= top + bottom:
                weights = [0.0] * len(row)
                for _, j in ranked[:top]:
                    weights[-j] = (0.5 if bottom else 1.0) / top
                for _, j in ranked[len(ranked) - bottom :]:
                    weights[-j] = -0.5 / bottom
        out.append(weights)
    return out
