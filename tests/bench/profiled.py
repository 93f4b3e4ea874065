"""Runs `serve` and profiles its event loop from SIGUSR1 to SIGUSR2, in CPU time.

    python -m tests.bench.profiled FILE

SIGUSR2 writes FILE, which then has neither the start of the process nor its end.
"""

import cProfile
import runpy
import signal
import sys
import time


def main(file: str) -> None:
    """Run `python -m bot serve` with the two signals."""
    profile = cProfile.Profile(time.thread_time)  # other programs on this machine take no part of it

    def begin(*_: object) -> None:
        profile.enable()

    def end(*_: object) -> None:
        profile.disable()
        profile.dump_stats(file)

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, end)
    sys.argv = ["bot", "serve"]
    runpy.run_module("bot", run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1])
