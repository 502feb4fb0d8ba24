"""A bundle and a feed in, orders out."""
