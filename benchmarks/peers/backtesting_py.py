"""backtesting.py over the bars and signals of a file: seconds of its run, and the gains of its closed trades."""

import json
import sys
import time
import warnings

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy

warnings.simplefilter("ignore")
data = np.load(sys.argv[1])
names = ("open", "high", "low", "close", "volume")
index = pd.date_range("2020-01-01", periods=len(data["close"]), freq="min")
frame = pd.DataFrame({name.capitalize(): data[name] for name in names}, index=index)
enter, leave = data["entries"].tolist(), data["exits"].tolist()
loss, gain = float(data["loss"]), float(data["gain"])


class Crossing(Strategy):
    """Buy one on a signal with a stop and a target, leave on the other."""

    def init(self):
        """Need nothing."""

    def next(self):
        """Decide at the close of a bar."""
        i = len(self.data) - 1
        if enter[i] and not self.position:
            close = self.data.Close[-1]
            self.buy(size=1, sl=close * (1 - loss), tp=close * (1 + gain))
        elif leave[i] and self.position:
            self.position.close()


test = Backtest(frame, Crossing, cash=10_000_000, commission=0.001, finalize_trades=False)
begun = time.perf_counter()
stats = test.run()
seconds = time.perf_counter() - begun
print(json.dumps({"seconds": seconds, "gains": stats["_trades"]["PnL"].tolist()}))
