"""Compares the costs of two commits: this checkout and a temporary worktree of the other, in turn on one machine."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BENCH = Path("tests/bench")
Costs = dict[str, dict[str, Any]]  # by path


def compare(commit: str, *, rounds: int) -> None:
    """Print the costs of both commits and the ratio of their median CPU times. Raises CalledProcessError."""
    with _worktree(commit) as other:
        runs = [(_costs(other), _costs(ROOT)) for _ in range(rounds)]
    for path in runs[0][1]:
        before, now = [each[0][path] for each in runs], [each[1][path] for each in runs]
        ratio = _cpu(now) / _cpu(before)
        counts = {name: [before[0][name], now[0][name]] for name in ("aws", "teams", "store")}
        print(json.dumps({"path": path, "ratio": round(ratio, 2), "cpu_us": [_cpu(before), _cpu(now)], **counts}))


def _cpu(costs: list[dict[str, Any]]) -> float:
    return median(float(each["cpu_us"]) for each in costs)


def _costs(checkout: Path) -> Costs:
    """Run the benchmark in a checkout, with this interpreter and its packages."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.bench.paths"], cwd=checkout, stdout=subprocess.PIPE, text=True, check=True
    )
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    return {each["path"]: each for each in lines}


@contextmanager
def _worktree(commit: str) -> Iterator[Path]:
    """Check a commit out beside this checkout, with this benchmark in it."""
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "other"
        _git("worktree", "add", "--detach", str(other), commit)
        try:
            shutil.rmtree(other / BENCH, ignore_errors=True)
            shutil.copytree(ROOT / BENCH, other / BENCH)
            yield other
        finally:
            _git("worktree", "remove", "--force", str(other))


def _git(*words: str) -> None:
    subprocess.run(["git", *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
