"""The time limit of the tests: a task that hangs fails its test, even if the test gathers the task's error."""

import subprocess
import sys
from pathlib import Path

HANGING = """
import asyncio

async def spin() -> None:
    while True:
        pass

async def test_hangs() -> None:
    task = asyncio.create_task(spin())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

def test_ends() -> None:
    pass
"""


def test_task_that_hangs_fails_its_test(tmp_path: Path) -> None:
    """A task never yields. The test that gathers its error fails; another test in the same run passes."""
    (tmp_path / "test_hanging.py").write_text(HANGING)
    command = ["-m", "pytest", "-q", "-n", "0", "-p", "tests.conftest", "-p", "no:cacheprovider", "--timeout=1"]
    root = Path(__file__).parents[2]
    config = ["-c", str(root / "pyproject.toml"), "--rootdir", str(tmp_path), str(tmp_path)]
    ran = subprocess.run(
        [sys.executable, *command, *config], check=False, cwd=root, capture_output=True, text=True, timeout=50
    )
    assert "1 failed, 1 passed" in ran.stdout
    assert "the time limit was exceeded in a task" in ran.stdout
