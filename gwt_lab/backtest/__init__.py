"""Weights or signals in, results out."""
