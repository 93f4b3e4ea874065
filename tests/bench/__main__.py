"""Prints the cost of each path as a JSON line; with `--against COMMIT`, compares it with an earlier commit.

    python -m tests.bench
    python -m tests.bench --against HEAD~80

`make bench` and `make bench AGAINST=HEAD~80` run this.
"""

import argparse
import asyncio
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

from bot.telemetry.logs import configure_logging
from tests.bench.comparing import compare
from tests.bench.paths import PATHS


def main() -> None:
    """Measure this checkout, or compare it with another commit."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--against", metavar="COMMIT", help="an earlier commit that this code can run in")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each commit, in turn")
    options = parser.parse_args()
    if options.against:
        compare(options.against, rounds=options.rounds)
        return
    with Path(os.devnull).open("w") as log:
        configure_logging(format="json", level="info", stream=log)  # logs are a part of the cost
        asyncio.run(_measure())


async def _measure() -> None:
    for path in PATHS:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(asdict(await path(Path(folder)))), flush=True)


if __name__ == "__main__":
    main()
