"""Tests for bot.heap: freed memory goes back to the operating system."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import os
import sys
from pathlib import Path

from bot.heap import limit_heaps

MIB = 2**20


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // MIB


if sys.argv[1] == "limited":
    limit_heaps()
bytearray(20 * MIB)  # freed at once: from now on, glibc would take blocks of this size from its heap
before, blocks = resident(), [bytearray(b"x") * MIB for _ in range(64)]
last = bytearray(b"x") * MIB  # at the end of the heap
blocks.clear()
print(resident() - before)
"""


@pytest.mark.parametrize(("heaps", "kept"), [("limited", False), ("unlimited", platform.libc_ver()[0] == "glibc")])
def test_large_blocks_go_back_to_the_operating_system_once_they_are_freed(heaps: str, *, kept: bool) -> None:
    """Even if a block that is still used lies behind them. glibc keeps them unless its heaps are limited."""
    found = subprocess.run([sys.executable, "-c", PROGRAM, heaps], capture_output=True, check=True, text=True)
    assert (int(found.stdout) > 32) is kept
