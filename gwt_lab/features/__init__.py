"""From bars to features: long frames indexed (datetime, instrument), float32, qlib's names."""
