"""The time limit of a test ends it wherever it waits."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HANGING = """
import asyncio
import time
import pytest

@pytest.mark.timeout(0.2)
async def test_it():
    arrived = asyncio.Event()

    async def work():
        time.sleep(0.4)
        arrived.set()

    working = asyncio.create_task(work())
    await arrived.wait()
    await working
"""


def test_test_fails_whose_time_limit_ends_only_a_task_for_which_it_waits(tmp_path: Path) -> None:
    """On a busy machine, the limit may end inside any task of a test that is only slow. It must not hang then."""
    (tmp_path / "test_it.py").write_text(HANGING)
    options = [
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "-c",
        str(ROOT / "pyproject.toml"),
        "--rootdir",
        str(tmp_path),
    ]
    command = [sys.executable, "-m", "pytest", "-q", *options, str(tmp_path / "test_it.py")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert ran.returncode == 1, ran.stdout
    assert "Timeout" in ran.stdout
