"""``python -m tests.world SEED [COUNT]``: a seed's schedule and what the oracle says of it; or of COUNT seeds from there."""

from __future__ import annotations

import sys
import time

from tests.world.run import play


def main(first: int, count: int = 1) -> int:
    """Play seeds; the number of those in which something went wrong."""
    wrong, started_s = 0, time.perf_counter()
    for seed in range(first, first + count):
        end = play(seed)
        wrong += bool(end.words)
        if count == 1:
            print("\n".join(end.schedule))
        for words in end.words:
            print(f"seed {seed}: {words}")
    print(f"{count} seeds, {wrong} wrong, {count / (time.perf_counter() - started_s):.1f} a second")
    return wrong


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])) > 0)
