"""Facts about honesty, with no knowledge of models: causality checks, purged splits, statistics."""
