"""Open times out of whatever a file calls time; what could be read in two ways is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gwt_lab.errors import ConfigError, DataError, ImportRefused
from gwt_lab.market.time import epoch_units, timeframe_ns, utc_index

__all__ = ["TimeReading", "open_labels", "read_times"]

_DAY_NS = 86_400 * 10**9
_HOUR_NS = 3600 * 10**9
_SLASHED_COLUMN = r"^(?P<one>\d{1,2})[/.-](?P<two>\d{1,2})[/.-](?P<year>\d{4})(?P<rest>.*)$"
_SLASHED = re.compile(_SLASHED_COLUMN)
_TWO_DIGIT_YEAR = re.compile(r"\d{1,2}[/.-]\d{1,2}[/.-]\d{2}(\D.*)?")
_HOUR_12 = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}-[AP]M")
_OFFSET = r"(?:Z|UTC|[+-]\d{2}:?\d{2})$"
_WORDS = ("day-first", "month-first", "open", "close")


@dataclass(frozen=True)
class TimeReading:
    """How to read times that can be read in two ways.

    Parameters
    ----------
    order : {"day-first", "month-first"}, optional
        For dates such as 03/04/2021.
    label : {"open", "close"}, optional
        Whether a time says when its bar opened or closed.
    zone : str, optional
        Time zone of clock times without an offset, such as ``"Europe/Berlin"``; UTC if not given.
    """

    order: str | None = None
    label: str | None = None
    zone: str | None = None

    @classmethod
    def of(cls, words: str | Iterable[str]) -> TimeReading:
        """Return the reading that some words ask for: `day-first`, `month-first`, `open`, `close`, a time zone."""
        found: dict[str, str] = {}
        for word in [words] if isinstance(words, str) else list(words):
            part = "order" if word in _WORDS[:2] else "label" if word in _WORDS else "zone"
            if found.setdefault(part, word) != word:
                raise ConfigError(f"times cannot be both {found[part]!r} and {word!r}; choose one")
        if "zone" in found:
            try:
                ZoneInfo(found["zone"])
            except (ZoneInfoNotFoundError, ValueError):
                raise ConfigError(
                    f"times must be {', '.join(_WORDS)} or a time zone such as Europe/Berlin, got {found['zone']!r}"
                ) from None
        return cls(**found)


def read_times(values: pd.Series, label: str, reading: TimeReading) -> pd.DatetimeIndex:
    """Return a column of times as `datetime64[ns, UTC]`, in the file's row order.

    Raises
    ------
    ImportRefused
        If day and month, or the offset from UTC, could be either.
    DataError
        If a value is no time, is missing, or numbers mix units.
    """
    name = f"{label}, column {values.name!r}"
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return utc_index(values, name=name)
    if pd.api.types.is_datetime64_dtype(values.dtype):
        return _zoned(values, name, reading)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return _numbers(values, name)
    if isinstance(values.dtype, pd.CategoricalDtype):
        # every distinct text is read once
        codes = values.cat.codes.to_numpy()
        if (codes < 0).any():
            raise DataError(f"{name} is missing in row {int(np.argmax(codes < 0)) + 1}: every bar needs its open time")
        values = values.astype("str")
    texts = values.astype("str").str.strip()
    if values.isna().any():
        raise DataError(f"{name} is missing in row {int(np.argmax(values.isna())) + 1}: every bar needs its open time")
    if texts.str.fullmatch(r"\d+(\.\d+)?").all():
        return _numbers(pd.to_numeric(texts).rename(values.name), name)
    return _texts(texts, name, reading)


def _numbers(values: pd.Series, name: str) -> pd.DatetimeIndex:
    """Read seconds to nanoseconds since 1970, or dates written as 20210131[235959]."""
    numbers = values.to_numpy()
    if values.isna().any():
        raise DataError(f"{name} is missing in row {int(np.argmax(values.isna())) + 1}: every bar needs its open time")
    for pattern, low, high in (("%Y%m%d", 19_800_101, 22_000_101), ("%Y%m%d%H%M%S", 19_800_101e6, 22_000_101e6)):
        if ((numbers >= low) & (numbers < high)).all():
            try:
                texts = pd.Series(numbers.astype("int64").astype("str"))
                return utc_index(pd.to_datetime(texts, format=pattern, utc=True))
            except ValueError:
                break
    units = epoch_units(numbers)
    if (units != units[0]).any():
        row = int(np.argmax(units != units[0]))
        raise ImportRefused(
            f"{name} mixes time units: row 1 holds {numbers[0]} and row {row + 1} {numbers[row]}; convert them to one "
            "unit"
        )
    return utc_index(values, name=name)


def _texts(texts: pd.Series, name: str, reading: TimeReading) -> pd.DatetimeIndex:
    first = texts.iloc[0]
    if _TWO_DIGIT_YEAR.fullmatch(first):
        raise ImportRefused(f"{name} writes years with two digits ({first!r}): write them as 2021-01-31")
    slashed = _SLASHED.fullmatch(first)
    try:
        if slashed:
            return _zoned(_slashed(texts, name, reading), name, reading)
        if _HOUR_12.fullmatch(first):
            return _zoned(pd.to_datetime(texts, format="%Y-%m-%d %I-%p"), name, reading)
        texts = texts.str.replace(r"\s*(?:UTC|GMT)$", "Z", regex=True)
        offsets = texts.str.contains(_OFFSET, regex=True) & texts.str.contains(":", regex=False)
        if not offsets.any():
            return _zoned(pd.to_datetime(texts.str.replace("/", "-"), format="ISO8601"), name, reading)
        if not offsets.all():
            row = int(np.argmin(offsets)) + 1
            raise ImportRefused(
                f"{name} has times with and without an offset from UTC, row {row} holds {texts.iloc[row - 1]!r}; write "
                "all of them in UTC"
            )
        return utc_index(pd.to_datetime(texts, format="ISO8601", utc=True), name=name)
    except ImportRefused:
        raise
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{name} holds something that is not a time ({str(error)[:120]}); write times like 2021-01-31 23:00:00"
        ) from None


def _slashed(texts: pd.Series, name: str, reading: TimeReading) -> pd.Series:
    """Read dates such as 31/01/2021 or 01/31/2021; a part above 12 tells which is the day."""
    # RE2 over the whole column: pandas' own extract takes seconds for a million rows
    found = pc.extract_regex(pa.array(texts, pa.string()), _SLASHED_COLUMN)
    if found.null_count:
        row = int(np.argmax(np.asarray(pc.is_null(found))))
        raise DataError(
            f"{name} mixes spellings of dates: row 1 holds {texts.iloc[0]!r}, row {row + 1} {texts.iloc[row]!r}"
        )
    one, two, year, rest = (pc.struct_field(found, part) for part in ("one", "two", "year", "rest"))
    day_first, month_first = (bool(pc.max(pc.cast(part, pa.int64())).as_py() > 12) for part in (one, two))
    if day_first and month_first:
        raise ImportRefused(f"{name} mixes day/month and month/day dates; write them as 2021-01-31")
    if not day_first and not month_first and reading.order is None:
        raise ImportRefused(
            f"{name} holds dates such as {texts.iloc[0]!r}: day and month could be either way round. Say "
            "times='day-first' or 'month-first' (`--times day-first`)"
        )
    order = "day-first" if day_first else "month-first" if month_first else reading.order
    if reading.order not in (None, order):
        raise ImportRefused(f"{name} holds dates that are {order}, asked was {reading.order}; leave it out")
    day, month = (one, two) if order == "day-first" else (two, one)
    date = pc.binary_join_element_wise(year, pc.utf8_lpad(month, 2, "0"), pc.utf8_lpad(day, 2, "0"), "-")
    iso = pd.Series(pc.binary_join_element_wise(date, pc.utf8_rtrim_whitespace(rest), "").to_pandas())
    twelve_hours = pc.any(pc.match_substring_regex(rest, "[AaPp][Mm]")).as_py()
    return pd.to_datetime(iso, format="mixed" if twelve_hours else "ISO8601")


# ------------------------------------------------------------------------------------------------ clock times
def _zoned(times: pd.Series, name: str, reading: TimeReading) -> pd.DatetimeIndex:
    """Return clock times without an offset as UTC, or from the zone that was named."""
    index = pd.DatetimeIndex(times).as_unit("ns")
    if index.hasnans:
        raise DataError(f"{name} is missing in row {int(np.argmax(index.isna())) + 1}: every bar needs its open time")
    if reading.zone is None:
        _refuse_local(index, name)
        return utc_index(index, name=name)
    newest_first = len(index) > 1 and index[0] > index[-1]
    ordered = index[::-1] if newest_first else index
    try:
        local = ordered.tz_localize(reading.zone, ambiguous="infer", nonexistent="raise")
    except ValueError as error:
        raise ImportRefused(f"{name} does not fit the clock of {reading.zone}: {error}; check the time zone") from None
    return utc_index(local[::-1] if newest_first else local, name=name)


def _refuse_local(index: pd.DatetimeIndex, name: str) -> None:
    """Refuse clock times that repeat an hour in autumn, or leave one out every spring, as local clocks do."""
    times = np.sort(index.asi8)
    starts = np.flatnonzero(np.diff(times, prepend=-1))
    times, counts = times[starts], np.diff(np.append(starts, len(times)))
    if len(times) < 3 or int(np.median(np.diff(times))) > _HOUR_NS:
        return
    advice = "They look like local clock times: say which (`--times Europe/Berlin`), or write them in UTC"
    # many symbols share one time: what counts is what repeats more often than usual
    twice = pd.DatetimeIndex(times[counts >= 2 * np.median(counts)])
    if len(twice) and set(twice.day_of_week) == {6} and set(twice.month) <= {3, 4, 9, 10, 11} and max(twice.hour) <= 3:
        raise ImportRefused(f"{name} repeats the hour of {twice[0]:%Y-%m-%d %H:%M}, a Sunday in autumn. {advice}")
    step = int(np.median(np.diff(times)))
    holes = pd.DatetimeIndex(times[:-1][np.diff(times) == _HOUR_NS + step] + step)
    for rule in (_last_sunday_of_march, _second_sunday_of_march):
        years = range(index.min().year, index.max().year + 1)
        springs = [day for day in map(rule, years) if index.min() < day < index.max()]
        hit = [day for day in springs if ((holes.normalize() == day) & (holes.hour >= 1) & (holes.hour <= 3)).any()]
        if len(springs) >= 2 and len(hit) == len(springs):
            raise ImportRefused(
                f"{name} leaves out one hour on {', '.join(f'{day:%Y-%m-%d}' for day in hit)}, every change to summer "
                f"time. {advice}"
            )


def _last_sunday_of_march(year: int) -> pd.Timestamp:
    end = pd.Timestamp(year, 3, 31)
    return end - pd.Timedelta(days=(end.day_of_week + 1) % 7)


def _second_sunday_of_march(year: int) -> pd.Timestamp:
    start = pd.Timestamp(year, 3, 8)
    return start + pd.Timedelta(days=(6 - start.day_of_week) % 7)


# ------------------------------------------------------------------------------------------------ open or close
def open_labels(
    times: pd.DatetimeIndex, timeframe: str, label: str | None, name: str, *, from_close: bool
) -> tuple[pd.DatetimeIndex, str | None]:
    """Return open times, and a note if the file's times were close times.

    Parameters
    ----------
    times : DatetimeIndex of shape (n,)
        As read.
    timeframe : str
        Length of a bar.
    label : {"open", "close"}, optional
        What the user says they are.
    name : str
        The file, for messages.
    from_close : bool
        Whether the column is called close time.
    """
    step = timeframe_ns(timeframe)
    # weeks open on Mondays, and 1970-01-05 was the first
    origin = 4 * _DAY_NS if timeframe.endswith("w") else 0
    left = (times.asi8 - origin) % step
    short = step - left
    ends = (left > 0) & (short <= 10**9)
    if ends.all():
        # 23:59:59.999: the last moment of the bar
        if label == "open":
            raise ImportRefused(f"{name} holds times such as {times[0]}, which are no open times of {timeframe}")
        return pd.DatetimeIndex(times.asi8 + short - step, tz="UTC", name="datetime"), _note(times[0], name)
    if ends.any():
        row = int(np.argmax(ends)) if not ends[0] else int(np.argmin(ends))
        raise ImportRefused(
            f"{name} mixes open times and close times: row 1 holds {times[0]}, row {row + 1} {times[row]}; export it "
            "again"
        )
    if label == "close" or (from_close and label is None):
        return pd.DatetimeIndex(times.asi8 - step, tz="UTC", name="datetime"), _note(times[0], name)
    return times, None


def _note(first: pd.Timestamp, name: str) -> str:
    return f"{name}: times such as {first:%Y-%m-%d %H:%M:%S} are close times; bars are labelled by their open times"
