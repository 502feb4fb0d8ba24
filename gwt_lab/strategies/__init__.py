"""Features, model and allocation as one frozen object that decides alike in the backtest and live."""
