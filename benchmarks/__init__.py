"""Figures measured on this machine: equality first, then time. `make bench`, or `python -m benchmarks NAME ...`."""
