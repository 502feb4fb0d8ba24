"""Serve the loopback exchange as a process: prints its address, stops when stdin closes."""

from __future__ import annotations

import argparse
import sys
import time

from tests.exchange.server import NOW_MS, LoopbackExchange


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.exchange")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--now", default=str(NOW_MS), help="ms since 1970, or 'real' for this machine's clock")
    options = parser.parse_args()
    now = (lambda: time.time_ns() // 1_000_000) if options.now == "real" else int(options.now)
    with LoopbackExchange(seed=options.seed, now=now) as exchange:
        print(exchange.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
