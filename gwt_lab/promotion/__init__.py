"""From results to a verdict to a signed bundle."""
