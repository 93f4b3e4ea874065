"""The Makefile as whoever types it meets it."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_a_long_installation_is_announced() -> None:
    """Before pip works in silence, it is said how long that takes, and that it is once."""
    words = ["make", "--dry-run", "--always-make", "setup"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout
    before, quiet, _ = said.partition("pip install --quiet")
    assert quiet
    assert "about a minute, once" in before
