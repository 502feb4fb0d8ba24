"""From features to forecasts."""
