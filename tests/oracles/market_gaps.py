"""The plain twin of `find_gaps`: one bar after the other."""

import pandas as pd


def plain_gaps(close: pd.DataFrame) -> list[tuple]:
    """Return (symbol, start, end, reason) of every run of missing bars with one reason, by symbol, then time."""

    def listed(symbol, row):
        known = [r for r in range(len(close)) if not pd.isna(close[symbol].iloc[r])]
        return bool(known) and known[0] <= row <= known[-1]

    def reason(symbol, row):
        if not listed(symbol, row):
            return "not listed"
        others = [name for name in close.columns if listed(name, row)]
        nobody = all(pd.isna(close[name].iloc[row]) for name in others)
        return "outage" if len(others) >= 2 and nobody else "no trade"

    found = []
    for symbol in close.columns:
        run = None
        for row in range(len(close)):
            why = reason(symbol, row) if pd.isna(close[symbol].iloc[row]) else None
            if run and run[3] != why:
                found.append(tuple(run))
                run = None
            if why and run:
                run[2] = close.index[row]
            elif why:
                run = [symbol, close.index[row], close.index[row], why]
        if run:
            found.append(tuple(run))
    return found
