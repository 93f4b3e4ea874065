"""Keeps the results of pure functions of large frozen objects, which are compared by identity."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from cachetools import LRUCache

Result = TypeVar("Result")


class KeptResults(Generic[Result]):
    """The last `most` results. The same objects have the same result, because nobody changes them.

    Objects that are only equal count as different, so a comparison costs the same for objects of any size. Each result
    is kept with its objects, so that no new object can get the identity of one of them.
    """

    def __init__(self, most: int) -> None:
        self._kept: LRUCache[tuple[object, ...], tuple[tuple[object, ...], Result]] = LRUCache(most)

    def get(self, make: Callable[[], Result], *of: object, also: tuple[Hashable, ...] = ()) -> Result:
        """Return the result that `make` makes of these objects, and of small values that are compared as usual."""
        key = (*map(id, of), also)
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = (of, make())
        return found[1]
