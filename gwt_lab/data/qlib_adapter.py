"""`QlibDataAdapter`: closed bars of one symbol, straight from an exchange, as an OHLCV frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gwt_lab.data.ccxt_venue import CcxtVenue
from gwt_lab.data.download_pages import NO_ROWS, PageReader, merge_rows, to_frame
from gwt_lab.data.download_window import first_open, last_closed
from gwt_lab.errors import ConfigError, DataError
from gwt_lab.kinds import is_whole
from gwt_lab.market.time import timeframe_ns, timestamp

__all__ = ["QlibDataAdapter"]


class QlibDataAdapter:
    """Fetch closed bars from an exchange without storing them.

    Parameters
    ----------
    exchange_id : str
        ccxt's id, such as ``"binance"``.
    venue : CcxtVenue, optional
        Says more than the id: another address, timeouts, a clock.

    Examples
    --------
    ::

        async with QlibDataAdapter("binance") as adapter:
            frame = await adapter.fetch_ohlcv("BTC/USDT", "1h", limit=1000)
    """

    def __init__(self, exchange_id: str = "binance", *, venue: CcxtVenue | None = None) -> None:
        if venue is not None and venue.id != exchange_id:
            raise ConfigError(f"the adapter is for {exchange_id!r}, the venue for {venue.id!r}; name one exchange")
        self.venue = venue or CcxtVenue(exchange_id)

    async def initialize(self) -> None:
        """Open the connection and check that the exchange answers.

        Raises
        ------
        VenueError
            If it does not, after a few tries.
        """
        await self.venue.open()
        await self.venue.server_time()

    async def close(self) -> None:
        """Close the connection; closing twice does no harm."""
        await self.venue.close()

    async def __aenter__(self) -> QlibDataAdapter:
        try:
            await self.initialize()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def fetch_ohlcv(self, symbol: str, timeframe: str, limit: int = 1000, since: Any = None) -> pd.DataFrame:
        """Return closed bars of one symbol.

        Parameters
        ----------
        symbol : str
            ``"BTC/USDT"``.
        timeframe : str
            ``"1h"``.
        limit : int
            How many closed bars; more than one page is fetched page by page. Fewer come back if the exchange has no
            more, or a hole longer than a page.
        since : time-like, optional
            First open time; else the newest `limit` bars.

        Returns
        -------
        DataFrame of shape (n, 5)
            Columns open, high, low, close, volume; index `datetime64[ns, UTC]` of open times named ``datetime``;
            `attrs` hold symbol and timeframe. The bar that is still open by the exchange's clock is never among them;
            bars that the exchange does not have are absent.

        Raises
        ------
        UnknownNameError
            If symbol or timeframe do not exist on the exchange; the message names the nearest.
        VenueError
            If the exchange does not answer, or sends impossible or contradictory bars.
        DataError
            If there is no closed bar at all.
        """
        if not is_whole(limit) or limit < 1:
            raise ConfigError(f"limit must be a whole number of bars, 1 or more, got {limit!r}")
        self.venue.timeframe(timeframe)
        (name,) = await self.venue.load([symbol])
        end = last_closed(await self.venue.server_time(), timeframe)
        if since is None:
            rows = await self._newest(name, timeframe, int(limit), end)
        else:
            rows = await self._from(name, timeframe, int(limit), (first_open(timestamp(since), timeframe), end))
        if not len(rows):
            raise DataError(
                f"{self.venue.id} has no closed {timeframe} bar of {name}"
                + ("" if since is None else f" at or after {timestamp(since):%Y-%m-%d %H:%M} UTC; ask for earlier ones")
            )
        frame = to_frame(rows, name).set_index("timestamp").rename_axis("datetime")
        frame = frame[["open", "high", "low", "close", "volume"]]
        frame.attrs = {"symbol": name, "timeframe": timeframe}
        return frame

    async def _from(self, symbol: str, timeframe: str, limit: int, window: tuple[int, int]) -> np.ndarray:
        """Return the first `limit` bars of a window of open times."""
        reader = PageReader(self.venue, symbol, timeframe)
        found = NO_ROWS
        async for page in reader.pages(*window):
            found = np.concatenate([found, page.rows])
            if len(found) >= limit:
                break
        return found[:limit]

    async def _newest(self, symbol: str, timeframe: str, limit: int, end: int) -> np.ndarray:
        """Return the last `limit` bars up to `end`, looking further back where bars are missing."""
        step = timeframe_ns(timeframe) // 1_000_000
        page = self.venue.page_rows(symbol)
        found, span, top = NO_ROWS, limit, end
        while len(found) < limit:
            reader = PageReader(self.venue, symbol, timeframe)
            bottom = top - (span - 1) * step
            rows = [each.rows async for each in reader.pages(bottom, top)]
            block = np.concatenate([NO_ROWS, *rows])
            found = merge_rows(block, found, reader.label)
            if not len(block):
                # a symbol that no longer trades has its newest bar further back
                newest = await reader.newest_bar()
                if len(found) or newest is None or newest >= bottom:
                    break
                top = newest
            else:
                top = bottom - step
            span = max(limit - len(found), page)
        return found[-limit:]
