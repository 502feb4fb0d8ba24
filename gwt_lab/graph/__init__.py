"""From bars to a point-in-time market graph and its node features."""
