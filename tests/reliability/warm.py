"""A process that imports the program once and runs pytest in forks of itself.

Each control needs a separate process, and imports take most of the time of a short test.
"""

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

IMPORTED = ("bot.app", "bot.cli", "bot.sandbox.sandbox", "aiohttp.test_utils")


class WarmPython:
    """A running process of this module, which does one run of pytest at a time."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "tests.reliability.warm"]
        self._process = subprocess.Popen(
            command, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, arguments: Sequence[str], environment: Mapping[str, str], *, output: Path, seconds: float) -> int:
        """Run pytest with additional environment variables and write its output to a file.

        Return the exit code, or -9 if the run took longer than `seconds`.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        order = {"arguments": [*arguments], "environment": {**environment}, "output": str(output), "seconds": seconds}
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()
        return int(stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def _run(arguments: Sequence[str], environment: Mapping[str, str], output: str) -> None:
    file = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ.update(environment)
    sys.exit(import_module("pytest").main([*arguments]))


def main() -> None:
    """Read one line of JSON per run from stdin, run it, and print the exit code."""
    for each in IMPORTED:
        import_module(each)
    for line in sys.stdin:
        order = json.loads(line)
        given = order["arguments"], order["environment"], order["output"]
        process = multiprocessing.get_context("fork").Process(target=_run, args=given)
        process.start()
        process.join(order["seconds"])
        if process.is_alive():
            process.kill()
            process.join()
        print(process.exitcode, flush=True)


if __name__ == "__main__":
    main()
