"""The order-book simulator: its parameters, a simulated history, and what can be read from it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gwt_lab.errors import ConfigError
from gwt_lab.execution.order_book_kernels import ASK, BASE, BID, GRID, N_FLOW, Rates, fill_book, record_events, run_book

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EVENT_KINDS", "OrderBookHistory", "OrderBookParameters", "simulate_order_book", "streams"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

EVENT_KINDS = (
    "limit buy",
    "limit sell",
    "market buy",
    "market sell",
    "cancel bid",
    "cancel ask",
    "jump up",
    "jump down",
)
_MAX_LEVELS = 30
# A drawn book is nearly one that has always run; it forgets the rest in a few lives of an order (1 / 0.47 to 1 / 0.81
# of a unit of time).
WARM_UP = 5.0


@dataclass(frozen=True)
class OrderBookParameters:
    """Intensities and sizes of the simulated book; rates are per unit of time, `seconds_per_unit` long.

    Parameters
    ----------
    limit_rates : tuple of float
        Arrival rate of limit orders on one side at distance 1, 2, ... ticks from the opposite best quote. Farther
        distances follow the power law ``tail_scale / distance ** tail_exponent``.
    cancel_rates : tuple of float
        Cancel rate of one resting order at those distances; the last value holds beyond.
    market_rate : float
        Rate of market orders on one side.
    tail_scale, tail_exponent : float
        The power law of far limit orders.
    n_levels : int
        Distances at which orders arrive and are cancelled (at most 30); farther ones rest as they are.
    order_size : int
        Units of every order of others. 1 counts in average orders, as the authors do. More units an order allow child
        orders smaller than others'; what such an order leaves of another still counts as one order.
    efficient_volatility : float
        Standard deviation, in ticks over a unit of time, of a driftless efficient price that all quotes follow at
        once. It adds to the volatility that the orders make by themselves; 0 leaves the published model.
    seconds_per_unit : float
        Seconds in a unit of time.
    tick_size, initial_price : float
        Quote currency. The defaults make a tick one basis point.

    Notes
    -----
    The defaults of the rates are the estimates for Sky Perfect Communications in [1]_, per minute and average order.
    The model has no drift, no long memory in the signs of market orders and no square-root impact; queues predict the
    next move of the mid (see the book's up-probabilities), nothing predicts the move after many.

    References
    ----------
    .. [1] Cont, R., Stoikov, S., Talreja, R., "A stochastic model for order book dynamics", Operations Research 58
       (2010), tables 1 and 2.
    """

    limit_rates: tuple[float, ...] = (1.85, 1.51, 1.09, 0.88, 0.77)
    cancel_rates: tuple[float, ...] = (0.71, 0.81, 0.68, 0.56, 0.47)
    market_rate: float = 0.94
    tail_scale: float = 1.92
    tail_exponent: float = 0.52
    n_levels: int = 10
    order_size: int = 1
    efficient_volatility: float = 0.0
    seconds_per_unit: float = 60.0
    tick_size: float = 0.01
    initial_price: float = 100.0

    def __post_init__(self) -> None:
        if not 1 <= self.n_levels <= _MAX_LEVELS:
            raise ConfigError(f"n_levels must lie between 1 and {_MAX_LEVELS}, got {self.n_levels}")
        if self.order_size < 1 or int(self.order_size) != self.order_size:
            raise ConfigError(f"order_size must be a whole number of units, at least 1, got {self.order_size}")
        if not self.limit_rates or not self.cancel_rates:
            raise ConfigError("limit_rates and cancel_rates need at least the rate at distance 1")
        for name in ("market_rate", "tail_scale", "efficient_volatility"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name} must be finite and not negative, got {getattr(self, name)}")
        for name in ("seconds_per_unit", "tick_size", "initial_price"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} must be finite and positive, got {getattr(self, name)}")
        limit, cancel = self.limit_by_level, self.cancel_by_level
        fit = np.isfinite(limit).all() and np.isfinite(cancel).all() and (limit >= 0).all() and (cancel > 0).all()
        if not (fit and (limit > 0).any()):
            raise ConfigError(
                "limit_rates must be finite, not negative and somewhere positive, cancel_rates finite and positive; "
                f"got {self.limit_rates} and {self.cancel_rates}"
            )
        mean = limit / cancel
        if (mean > 500).any():
            raise ConfigError(
                "limit rate over cancel rate is the mean queue in orders and must be at most 500, got "
                f"{mean.max():.0f}: raise the cancel rate"
            )

    @cached_property
    def limit_by_level(self) -> FloatArray:
        """Arrival rate at distances 1..n_levels, one side; shape (n_levels,)."""
        distance = np.arange(1, self.n_levels + 1, dtype=np.float64)
        rates: FloatArray = self.tail_scale / distance**self.tail_exponent
        known = min(self.n_levels, len(self.limit_rates))
        rates[:known] = self.limit_rates[:known]
        return rates

    @cached_property
    def cancel_by_level(self) -> FloatArray:
        """Cancel rate of one order at distances 1..n_levels; shape (n_levels,)."""
        rates = np.full(self.n_levels, self.cancel_rates[-1], dtype=np.float64)
        known = min(self.n_levels, len(self.cancel_rates))
        rates[:known] = self.cancel_rates[:known]
        return rates

    @cached_property
    def rates(self) -> Rates:
        """The same intensities as the kernels take them."""
        limit, cancel = self.limit_by_level, self.cancel_by_level
        return Rates(
            limit=np.cumsum(limit),
            cancel=cancel,
            market=float(self.market_rate),
            # two independent one-tick jumps of rate r have variance 2 r over a unit of time
            jump=float(self.efficient_volatility) ** 2 / 2,
            far_mean=float(limit[-1] / cancel[-1]),
            order_size=int(self.order_size),
        )

    @cached_property
    def calm_rates(self) -> Rates:
        """The intensities without jumps of the efficient price: they shift a book and do not change it."""
        return self.rates._replace(jump=0.0)

    @property
    def initial_ticks(self) -> int:
        """The initial price in ticks."""
        return round(self.initial_price / self.tick_size)

    @property
    def tick_bps(self) -> float:
        """A tick as basis points of the initial price."""
        return 1e4 * self.tick_size / self.initial_price

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as plain values."""
        return asdict(self)


def streams(seeds: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """Return the two random states of each path from its seed.

    Parameters
    ----------
    seeds : array_like of shape (n,)
        Non-negative integers. Equal seeds, equal paths, whatever else is in the batch.

    Returns
    -------
    ndarray of shape (n, 2)
        uint64; neighbouring seeds give unrelated states (NumPy's SeedSequence).
    """
    numbers = np.atleast_1d(np.asarray(seeds))
    if not np.issubdtype(numbers.dtype, np.integer) or (numbers < 0).any():
        raise ConfigError(f"seeds must be whole numbers, not negative, got {seeds!r}")
    return np.array([np.random.SeedSequence(int(seed)).generate_state(2, np.uint64) for seed in numbers])


def _prices(ticks: IntArray, tick_size: float) -> FloatArray:
    prices: FloatArray = ticks.astype(np.float64) * tick_size
    return prices


@dataclass(frozen=True, eq=False, repr=False)
class OrderBookHistory:
    """A simulated book: its events one by one, and the whole book at regular events.

    Parameters
    ----------
    parameters : OrderBookParameters
        What it was simulated with.
    seed : int
        The seed.
    time : ndarray of shape (n_events,)
        Time of each event in seconds.
    events : ndarray of shape (n_events, 5)
        int64: kind (index into `EVENT_KINDS`), price in ticks, size in units, best bid and best ask in ticks after the
        event.
    snapshot_event : ndarray of shape (n_snapshots,)
        The event that each snapshot precedes.
    snapshot_depth : ndarray of shape (n_snapshots, 128)
        int32 units on each price of a window of the grid.
    snapshot_quotes : ndarray of shape (n_snapshots, 3)
        Price of the window's first column in ticks; columns of the best bid and the best ask.
    """

    parameters: OrderBookParameters
    seed: int
    time: FloatArray
    events: IntArray
    snapshot_event: IntArray
    snapshot_depth: npt.NDArray[np.int32] = field(repr=False)
    snapshot_quotes: IntArray = field(repr=False)

    def __post_init__(self) -> None:
        for name in ("time", "events", "snapshot_event", "snapshot_depth", "snapshot_quotes"):
            getattr(self, name).flags.writeable = False

    def __len__(self) -> int:
        return len(self.time)

    def __repr__(self) -> str:
        hours = self.time[-1] / 3600 if len(self) else 0.0
        return f"OrderBookHistory({len(self):,} events over {hours:.1f} h, {len(self.snapshot_event):,} snapshots)"

    def _repr_html_(self) -> str:
        from gwt_lab.display import card, number, table_html

        spread = self.spread / self.parameters.tick_size
        rows = [
            ("span", f"{self.time[-1] / 3600:.1f} h, {len(self):,} events"),
            ("trades", f"{int((self.trade_mask).sum()):,}"),
            (
                "mean spread",
                f"{number(float(spread.mean()))} ticks, one tick in {100 * float((spread < 1.5).mean()):.0f} %",
            ),
            ("mid", f"{number(float(self.mid[0]), 6)} to {number(float(self.mid[-1]), 6)}"),
            ("snapshots", f"{len(self.snapshot_event):,}"),
            ("seed", str(self.seed)),
        ]
        return card("Order book, simulated", table_html(("", ""), rows))

    @property
    def best_bid(self) -> FloatArray:
        """Best bid after each event, quote currency."""
        return _prices(self.events[:, 3], self.parameters.tick_size)

    @property
    def best_ask(self) -> FloatArray:
        """Best ask after each event, quote currency."""
        return _prices(self.events[:, 4], self.parameters.tick_size)

    @property
    def mid(self) -> FloatArray:
        """Mid price after each event, quote currency."""
        return _prices(self.events[:, 3] + self.events[:, 4], 0.5 * self.parameters.tick_size)

    @property
    def spread(self) -> FloatArray:
        """Quoted spread after each event, quote currency."""
        return _prices(self.events[:, 4] - self.events[:, 3], self.parameters.tick_size)

    @property
    def trade_mask(self) -> npt.NDArray[np.bool_]:
        """Which events are market orders."""
        kind = self.events[:, 0]
        return np.asarray((kind == EVENT_KINDS.index("market buy")) | (kind == EVENT_KINDS.index("market sell")))

    @property
    def trades(self) -> pd.DataFrame:
        """Market orders: time in seconds, side of the aggressor (+1 buy), last price paid, size in units."""
        import pandas as pd

        chosen = self.events[self.trade_mask]
        return pd.DataFrame(
            {
                "time": self.time[self.trade_mask],
                "side": np.where(chosen[:, 0] == EVENT_KINDS.index("market buy"), 1, -1),
                "price": chosen[:, 1] * self.parameters.tick_size,
                "size": chosen[:, 2],
            }
        )

    def depth(self, levels: int = 5) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Return the units on the `levels` prices from the best bid down and from the best ask up, at each snapshot.

        Returns
        -------
        tuple of ndarray of shape (n_snapshots, levels)
            Bids and asks; prices beyond the stored window count as empty.
        """
        steps = np.arange(levels)
        found = []
        for column, direction in ((BID, -1), (ASK, 1)):
            index = self.snapshot_quotes[:, column, None] + direction * steps
            inside = (index >= 0) & (index < GRID)
            units = np.take_along_axis(self.snapshot_depth, np.clip(index, 0, GRID - 1), axis=1)
            found.append(np.where(inside, units, 0).astype(np.int32))
        return found[0], found[1]

    def to_frame(self) -> pd.DataFrame:
        """Return the events as a table: time, kind, price, size, best_bid, best_ask."""
        import pandas as pd

        tick = self.parameters.tick_size
        return pd.DataFrame(
            {
                "time": self.time,
                "kind": pd.Categorical.from_codes(self.events[:, 0], categories=list(EVENT_KINDS)),
                "price": self.events[:, 1] * tick,
                "size": self.events[:, 2],
                "best_bid": self.best_bid,
                "best_ask": self.best_ask,
            }
        )


def simulate_order_book(
    n_events: int = 1_000_000,
    seed: int = 1,
    *,
    parameters: OrderBookParameters | None = None,
    snapshot_every: int = 100,
) -> OrderBookHistory:
    """Simulate a limit order book of Poisson arrivals, market orders and cancels.

    Parameters
    ----------
    n_events : int
        Events to simulate after a warm-up of five units of time.
    seed : int
        Equal seeds give equal histories.
    parameters : OrderBookParameters, optional
        Intensities; the published estimates by default.
    snapshot_every : int
        Events between two snapshots of the whole book.

    Returns
    -------
    OrderBookHistory
        Frozen; bests are never crossed.

    Raises
    ------
    ConfigError
        If a number is out of range.

    Notes
    -----
    Prices are a grid of ticks without a floor. An order beyond `n_levels` ticks from the opposite best rests as it is
    until the book comes back; a price 64 ticks away that enters the stored window is drawn from the Poisson law of the
    last level.

    References
    ----------
    .. [1] Cont, R., Stoikov, S., Talreja, R., "A stochastic model for order book dynamics", Operations Research 58
       (2010).
    """
    if n_events < 1 or snapshot_every < 1:
        raise ConfigError(f"n_events and snapshot_every must be at least 1, got {n_events} and {snapshot_every}")
    chosen = parameters or OrderBookParameters()
    random = streams([seed])[0]
    depth = np.zeros(GRID, np.int32)
    quotes, own = np.zeros(3, np.int64), np.zeros(4, np.int64)
    fill_book(depth, quotes, own, random, chosen.calm_rates, chosen.initial_ticks)
    run_book(depth, quotes, own, random, chosen.calm_rates, WARM_UP, np.zeros(3), np.zeros(N_FLOW, np.int64))
    # the published price is the price after the warm-up
    quotes[BASE] += chosen.initial_ticks - (2 * quotes[BASE] + quotes[BID] + quotes[ASK]) // 2
    snapshot_event = np.arange(0, n_events, snapshot_every, dtype=np.int64)
    time, events = np.zeros(n_events), np.zeros((n_events, 5), np.int64)
    snapshots = np.zeros((len(snapshot_event), GRID), np.int32)
    bases = np.zeros((len(snapshot_event), 3), np.int64)
    record_events(depth, quotes, own, random, chosen.rates, time, events, snapshot_every, snapshots, bases)
    return OrderBookHistory(
        parameters=chosen,
        seed=seed,
        time=time * chosen.seconds_per_unit,
        events=events,
        snapshot_event=snapshot_event,
        snapshot_depth=snapshots,
        snapshot_quotes=bases,
    )
