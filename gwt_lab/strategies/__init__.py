"""Features, model and allocation as one frozen object with two clocks: weights(bars) and decide(state, bar)."""
