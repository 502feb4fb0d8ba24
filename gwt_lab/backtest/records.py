"""Orders, trades, positions and drawdowns as tables that can be asked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from gwt_lab.backtest import matching as at
from gwt_lab.backtest.inputs import Layout, panel
from gwt_lab.errors import UnknownNameError
from gwt_lab.market.bars import Bars
from gwt_lab.market.orders import KIND_NAMES
from gwt_lab.market.time import timeframe_ns

__all__ = ["Drawdowns", "Orders", "Positions", "Records", "Trades"]

_KINDS = np.array(KIND_NAMES, dtype=object)
_SHOWN = 12


class Records:
    """A table of records: `frame` in our words, `records_readable` under vectorbt's titles.

    Parameters
    ----------
    values : ndarray of shape (n_records, n_fields)
        The numbers, one record a row.
    bars : Bars
        What was traded.
    layout : Layout
        Columns and accounts.
    """

    # name of the id, and our names -> vectorbt's titles
    _id: ClassVar[str] = "Id"
    _titles: ClassVar[Mapping[str, str]] = {}

    def __init__(self, values: np.ndarray, bars: Bars, layout: Layout) -> None:
        self.values, self.bars, self.layout = values, bars, layout

    @property
    def frame(self) -> pd.DataFrame:
        """The table in our words, one record a row; changing it changes nothing here."""
        return self._made.copy(deep=False)

    @cached_property
    def _made(self) -> pd.DataFrame:
        return self._frame()

    @property
    def records_readable(self) -> pd.DataFrame:
        """The table under vectorbt's titles, sorted by column as vectorbt does."""
        order = np.argsort(self._column(), kind="stable")
        frame, titles = self.frame.iloc[order], self._titles
        readable = pd.DataFrame(
            {
                titles[name]: [str(word).title() for word in frame[name]] if name in _WORDS else frame[name].to_numpy()
                for name in titles
            }
        )
        readable.insert(0, self._id, np.arange(len(readable)))
        readable.insert(1, "Column", self._labels()[order])
        return readable

    def count(self) -> Any:
        """Return the number of records: an int, or a Series by account of several."""
        return self._by_account(self._counts(), "count")

    def _frame(self) -> pd.DataFrame:
        raise NotImplementedError

    def _column(self) -> np.ndarray:
        """Column of each record."""
        return self.values[:, 0].astype(np.int64)

    def _labels(self) -> np.ndarray:
        labels = np.empty(len(self.layout.columns), dtype=object)
        labels[:] = list(self.layout.columns)
        return np.asarray(labels[self._column()])

    def _named(self) -> dict[str, np.ndarray]:
        """Return what names a record's column: its symbol, and its label where that says more."""
        symbols = np.array(self.bars.symbols, dtype=object)[self.layout.symbol_of]
        named = {"symbol": symbols[self._column()]}
        return named | {"column": self._labels()} if self.layout.columns.nlevels > 1 else named

    @property
    def _account(self) -> np.ndarray:
        return np.asarray(self.layout.account_of[self._column()])

    def _counts(self) -> np.ndarray:
        return np.bincount(self._account, minlength=len(self.layout.accounts))

    def _sums(self, numbers: np.ndarray) -> np.ndarray:
        return np.bincount(self._account, numbers, minlength=len(self.layout.accounts))

    def _by_account(self, numbers: np.ndarray, name: str) -> Any:
        if len(numbers) == 1:
            return numbers[0].item()
        return pd.Series(numbers, index=self.layout.accounts, name=name)

    def _times(self, field: int) -> pd.DatetimeIndex:
        return self.bars.index[self.values[:, field].astype(np.int64)]

    def __getitem__(self, name: str) -> pd.Series:
        if name not in self.frame.columns:
            raise UnknownNameError(f"no column {name!r}; there are {', '.join(map(str, self.frame.columns))}")
        return self.frame[name]

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self):,})\n{self.frame.to_string(max_rows=_SHOWN)}"

    def _repr_html_(self) -> str:
        from gwt_lab.display import card, number, table_html

        def shown(value: Any) -> str:
            if isinstance(value, pd.Timestamp):
                return f"{value:%Y-%m-%d %H:%M}"
            return number(value) if isinstance(value, float) else str(value)

        rows = [[shown(value) for value in row] for row in self.frame.head(_SHOWN).itertuples(index=False)]
        more = f"<div>and {len(self) - _SHOWN:,} more: .frame</div>" if len(self) > _SHOWN else ""
        title = f"{len(self):,} {type(self).__name__.lower()}"
        return card(title, table_html([str(name) for name in self.frame.columns], rows) + more)


_WORDS = ("side", "direction", "status")


class Orders(Records):
    """Fills in the order of execution: timestamp, symbol, side, amount, price, fees, kind.

    The kind says why: an order, a limit, a stop, liquidation.
    """

    _id = "Order Id"
    _titles: ClassVar[Mapping[str, str]] = {
        "timestamp": "Timestamp",
        "amount": "Size",
        "price": "Price",
        "fees": "Fees",
        "side": "Side",
    }

    def _column(self) -> np.ndarray:
        return self.values[:, 1].astype(np.int64)

    def _frame(self) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "timestamp": self._times(0),
                **self._named(),
                "side": np.where(self.values[:, 2] > 0, "buy", "sell"),
                "amount": np.abs(self.values[:, 2]),
                "price": self.values[:, 3],
                "fees": self.values[:, 4],
                "kind": _KINDS[self.values[:, 5].astype(np.int64)],
            }
        )


class Trades(Records):
    """Exits with the entries they close, and what is open at the end; one trade an exit.

    Numbers count every trade, open ones too, as vectorbt's do; ``trades.closed`` leaves the open ones out.
    """

    _id = "Exit Trade Id"
    _titles: ClassVar[Mapping[str, str]] = {
        "size": "Size",
        "entry_timestamp": "Entry Timestamp",
        "entry_price": "Avg Entry Price",
        "entry_fees": "Entry Fees",
        "exit_timestamp": "Exit Timestamp",
        "exit_price": "Avg Exit Price",
        "exit_fees": "Exit Fees",
        "pnl": "PnL",
        "return": "Return",
        "direction": "Direction",
        "status": "Status",
        "position": "Position Id",
    }

    def _frame(self) -> pd.DataFrame:
        v = self.values
        closed_by = np.append(_KINDS, "")[np.where(np.isnan(v[:, at.EXIT_KIND]), -1, v[:, at.EXIT_KIND]).astype(int)]
        return pd.DataFrame(
            {
                **self._named(),
                "direction": np.where(v[:, at.SIDE] > 0, "long", "short"),
                "size": v[:, at.SIZE],
                "entry_timestamp": self._times(at.ENTRY_ROW),
                "entry_price": v[:, at.ENTRY_PRICE],
                "entry_fees": v[:, at.ENTRY_FEES],
                "exit_timestamp": self._times(at.EXIT_ROW),
                "exit_price": v[:, at.EXIT_PRICE],
                "exit_fees": v[:, at.EXIT_FEES],
                "exit_kind": closed_by,
                "pnl": self._pnl,
                "return": self._returns,
                "status": np.where(v[:, at.IS_OPEN] > 0, "open", "closed"),
                "position": v[:, at.POSITION_ID].astype(np.int64),
            }
        )

    # ------------------------------------------------------------------------------------------ numbers of each
    @cached_property
    def _pnl(self) -> np.ndarray:
        v = self.values
        gain = v[:, at.SIDE] * v[:, at.SIZE] * (v[:, at.EXIT_PRICE] - v[:, at.ENTRY_PRICE])
        return np.asarray(gain - v[:, at.ENTRY_FEES] - v[:, at.EXIT_FEES])

    @property
    def _returns(self) -> np.ndarray:
        return np.asarray(self._pnl / (self.values[:, at.SIZE] * self.values[:, at.ENTRY_PRICE]))

    @property
    def _bars_held(self) -> np.ndarray:
        return np.asarray(
            self.values[:, at.EXIT_ROW] - self.values[:, at.ENTRY_ROW] + self.values[:, at.IS_OPEN], dtype=np.int64
        )

    @property
    def pnl(self) -> pd.Series:
        """Gain of each trade after fees, quote currency; funding is not in it."""
        return pd.Series(self._pnl, name="pnl")

    @property
    def returns(self) -> pd.Series:
        """Gain of each trade after fees as a fraction of what its entry was worth."""
        return pd.Series(self._returns, name="return")

    @property
    def duration(self) -> pd.Series:
        """Time from entry to exit; an open trade's last bar counts whole."""
        step = np.timedelta64(timeframe_ns(self.bars.timeframe), "ns")
        return pd.Series(self._bars_held * step, name="duration")

    @property
    def mae(self) -> pd.Series:
        """Worst price of a trade's bars (adverse excursion) as a fraction of its entry price, zero or negative."""
        return pd.Series(self._excursions[:, 0], name="mae")

    @property
    def mfe(self) -> pd.Series:
        """Best price of a trade's bars (favourable excursion) as a fraction of its entry price, zero or positive.

        The bars of entry and exit count whole: what of them came before or after the trade is not known.
        """
        return pd.Series(self._excursions[:, 1], name="mfe")

    @cached_property
    def _excursions(self) -> np.ndarray:
        out = np.empty((len(self), 2))
        at.excursions(self.values, self.layout.symbol_of, panel(self.bars.high), panel(self.bars.low), out)
        return out

    # ------------------------------------------------------------------------------------------ parts
    def _part(self, chosen: np.ndarray) -> Self:
        return type(self)(self.values[chosen], self.bars, self.layout)

    @property
    def winning(self) -> Self:
        """Those that gained."""
        return self._part(self._pnl > 0)

    @property
    def losing(self) -> Self:
        """Those that lost."""
        return self._part(self._pnl < 0)

    @property
    def open(self) -> Self:
        """Those still open at the end."""
        return self._part(self.values[:, at.IS_OPEN] > 0)

    @property
    def closed(self) -> Self:
        """Those that ended."""
        return self._part(self.values[:, at.IS_OPEN] == 0)

    @property
    def long(self) -> Self:
        """Those that bought first."""
        return self._part(self.values[:, at.SIDE] > 0)

    @property
    def short(self) -> Self:
        """Those that sold first."""
        return self._part(self.values[:, at.SIDE] < 0)

    # ------------------------------------------------------------------------------------------ numbers of all
    def win_rate(self) -> Any:
        """Return the share of trades that gained; NaN without trades."""
        return self._by_account(_over(self.winning._counts(), self._counts()), "win_rate")

    def profit_factor(self) -> Any:
        """Return gains over losses; infinite without a loss, NaN without either."""
        return self._by_account(
            _over(self.winning._sums(self.winning._pnl), np.abs(self.losing._sums(self.losing._pnl))), "profit_factor"
        )

    def expectancy(self) -> Any:
        """Return the mean gain of a trade, quote currency; NaN without trades."""
        return self._by_account(_over(self._sums(self._pnl), self._counts()), "expectancy")

    def _means(self, numbers: np.ndarray) -> np.ndarray:
        return _over(self._sums(numbers), self._counts())

    def _extremes(self, numbers: np.ndarray, which: Any) -> np.ndarray:
        """Return the largest (`np.fmax`) or smallest (`np.fmin`) by account, NaN where there is none."""
        found = np.full(len(self.layout.accounts), np.nan)
        which.at(found, self._account, numbers)
        return found


def _over(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(above / below)


class Positions(Trades):
    """All trades from the first entry until nothing is held, as one record a position."""

    _id = "Position Id"
    _titles: ClassVar[Mapping[str, str]] = {name: t for name, t in Trades._titles.items() if name != "position"}


class Drawdowns(Records):
    """Stretches that an account spends below its peak."""

    _id = "Drawdown Id"
    _titles: ClassVar[Mapping[str, str]] = {
        "peak_timestamp": "Peak Timestamp",
        "start_timestamp": "Start Timestamp",
        "valley_timestamp": "Valley Timestamp",
        "end_timestamp": "End Timestamp",
        "peak_value": "Peak Value",
        "valley_value": "Valley Value",
        "end_value": "End Value",
        "status": "Status",
    }

    @classmethod
    def of(cls, value: np.ndarray, bars: Bars, layout: Layout) -> Self:
        """Return the drawdowns of accounts' worth, shape (n_times, n_accounts)."""
        most = value.shape[1] + int(np.count_nonzero(np.diff(value, axis=0) < 0))
        out = np.empty((most, at.N_DRAWDOWN))
        return cls(out[: at.drawdown_records(value, out)], bars, layout)

    @property
    def _account(self) -> np.ndarray:
        return self._column()

    def _labels(self) -> np.ndarray:
        labels = np.empty(len(self.layout.accounts), dtype=object)
        labels[:] = list(self.layout.accounts)
        return np.asarray(labels[self._column()])

    @property
    def _bars_below(self) -> np.ndarray:
        """Bars from the first below the peak to the end; the last one counts whole where the peak is not reached."""
        return np.asarray(self.values[:, 4] - self.values[:, 2] + self.values[:, 8], dtype=np.int64)

    def _frame(self) -> pd.DataFrame:
        v, step = self.values, np.timedelta64(timeframe_ns(self.bars.timeframe), "ns")
        named = {"account": self._labels()} if len(self.layout.accounts) > 1 else {}
        return pd.DataFrame(
            {
                **named,
                "peak_timestamp": self._times(1),
                "start_timestamp": self._times(2),
                "valley_timestamp": self._times(3),
                "end_timestamp": self._times(4),
                "peak_value": v[:, 5],
                "valley_value": v[:, 6],
                "end_value": v[:, 7],
                "drawdown": v[:, 6] / v[:, 5] - 1.0,
                "duration": self._bars_below * step,
                "status": np.where(v[:, 8] > 0, "active", "recovered"),
            }
        )
