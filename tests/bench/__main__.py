"""Measures the program and prints a table; with `--against COMMIT`, compares the paths with an earlier commit.

    python -m tests.bench [--runs 3] [--parts 1,2,4,5,6,7,8,9]
    python -m tests.bench --parts growth
    python -m tests.bench --parts soak [--minutes 60]
    python -m tests.bench --against HEAD~80

`make bench` and `make bench AGAINST=HEAD~80` run this.
"""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from bot.telemetry.logs import configure_logging

RESULT = Path(".sandbox/bench.json")
GROWTH = Path(".sandbox/growth.json")


def main() -> None:
    """Measure this checkout, or compare it with another commit."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--against", metavar="COMMIT", help="an earlier commit that this code can run in")
    parser.add_argument("--runs", type=int, default=3, help="runs of all figures, or of each commit in turn")
    parser.add_argument(
        "--parts", default="", help="rows of the table, such as 1,8; or growth, or soak; by default all rows"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="how long the soak runs, at least 4")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the measured processes, too
    if options.against:
        from tests.bench.comparing import compare

        compare(options.against, rounds=options.runs)
    elif options.parts == "growth":
        _measure_growth()
    elif options.parts == "soak":
        from tests.bench import soak

        sys.exit(soak.main(options.minutes))
    else:
        _measure(options.runs, options.parts)


def _measure(runs: int, parts: str) -> None:
    from tests.bench import table
    from tests.bench.run import PARTS, run
    from tests.bench.served import leave_the_core

    chosen = parts.split(",") if parts else PARTS
    pinned = leave_the_core()
    found = []
    for number in range(runs):
        found.append(asyncio.run(run(chosen)))
        rows = table.rows(found)
        print(f"\nafter {number + 1} of {runs} runs; ratio 1 or more: target reached\n{table.text(rows)}", flush=True)
        table.keep(rows, {"runs": number + 1, "measured_process_has_its_own_core": pinned}, RESULT)


def _measure_growth() -> None:
    from tests.bench import growth

    configure_logging(format="json", level="error", stream=sys.stderr)
    found = asyncio.run(growth.measure())
    print(growth.text(found))
    GROWTH.parent.mkdir(parents=True, exist_ok=True)
    GROWTH.write_text(json.dumps(growth.rows(found), indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
