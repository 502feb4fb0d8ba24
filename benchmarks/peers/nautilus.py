"""NautilusTrader over the bars and signals of a file: seconds of its run, and the gains of its closed positions."""

import json
import sys
import time
from decimal import Decimal

import numpy as np
import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy

DIGITS = 6
data = np.load(sys.argv[1])
enter, leave = data["entries"].tolist(), data["exits"].tolist()
loss, gain = float(data["loss"]), float(data["gain"])
venue, fee = Venue("SIM"), Decimal("0.001")
pair = CurrencyPair(
    InstrumentId(Symbol("BTCUSDT"), venue), Symbol("BTCUSDT"), BTC, USDT, DIGITS, DIGITS, Price(10**-DIGITS, DIGITS),
    Quantity(10**-DIGITS, DIGITS), 0, 0, maker_fee=fee, taker_fee=fee,
)  # fmt: skip
minutes = BarType.from_str("BTCUSDT.SIM-1-MINUTE-LAST-EXTERNAL")


class Crossing(Strategy):
    """Buy one on a signal with a stop and a target, leave on the other."""

    def on_start(self):
        """Ask for bars."""
        self.bar = -1
        self.subscribe_bars(minutes)

    def on_bar(self, bar):
        """Decide at the close of a bar."""
        self.bar += 1
        flat = self.portfolio.is_flat(pair.id)
        if enter[self.bar] and flat:
            close = bar.close.as_double()
            stop, target = Price(close * (1 - loss), DIGITS), Price(close * (1 + gain), DIGITS)
            orders = self.order_factory.bracket(
                pair.id, OrderSide.BUY, Quantity(1, DIGITS), sl_trigger_price=stop, tp_price=target
            )
            self.submit_order_list(orders)
        elif leave[self.bar] and not flat:
            self.cancel_all_orders(pair.id)
            self.close_all_positions(pair.id)


index = pd.date_range("2020-01-01", periods=len(data["close"]), freq="min", tz="UTC")
frame = pd.DataFrame({name: data[name] for name in ("open", "high", "low", "close", "volume")}, index=index)
engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(log_level="ERROR", bypass_logging=True)))
engine.add_venue(venue, OmsType.NETTING, AccountType.MARGIN, [Money(10_000_000, USDT)])
engine.add_instrument(pair)
engine.add_data(BarDataWrangler(minutes, pair).process(frame))
engine.add_strategy(Crossing(StrategyConfig()))
begun = time.perf_counter()
engine.run()
seconds = time.perf_counter() - begun
report = engine.trader.generate_positions_report()
gains = [float(str(gain).split()[0]) for gain in report.loc[report["ts_closed"].notna(), "realized_pnl"]]
print(json.dumps({"seconds": seconds, "gains": gains}))
