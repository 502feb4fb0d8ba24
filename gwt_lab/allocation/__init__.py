"""From forecasts to target weights."""
