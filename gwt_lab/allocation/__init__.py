"""Forecasts in, target weights out."""
