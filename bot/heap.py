"""Lets the C library give memory back that the program no longer uses.

By default, glibc makes a heap for each thread, up to eight for each core, and keeps what was freed in them. A page of a
list is parsed in any of the threads, so each heap keeps the size of its largest page. Other C libraries have no such
settings.
"""

import ctypes
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final

_M_TRIM_THRESHOLD: Final = -1  # the numbers are those of malloc.h
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
BLOCK: Final = 128 * 1024  # bytes; glibc starts with this value, and raises it to the size of each block that is freed
SETTINGS: Final[Mapping[int, int]] = MappingProxyType(
    {
        _M_ARENA_MAX: 2,  # heaps; threads seldom allocate at the same time, because Python code runs in one of them
        _M_MMAP_THRESHOLD: BLOCK,  # a larger block goes back to the operating system as soon as it is freed
        _M_TRIM_THRESHOLD: BLOCK,  # so does free memory at the end of a heap, if there is more of it
    }
)


def limit_heaps() -> None:
    """Limit the heaps from now on, whatever `MALLOC_ARENA_MAX` says. Call it before the first thread starts."""
    with suppress(OSError, AttributeError):  # no C library, or one without the function
        set_one = ctypes.CDLL(None).mallopt
        for setting, value in SETTINGS.items():
            set_one(setting, value)
