"""Replaces functions, methods and constants of the program by name, to show that a test fails without a guard.

A guard of the program is taken out in a separate process, before a test is imported. The product has no switch for
this. A target that does not exist raises DoesNotFit, so that no rename in the product goes unnoticed.
"""

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from importlib import import_module
from types import ModuleType
from typing import Any

Replacement = Callable[[Any], Any]
"""Takes the original function, method or constant and returns its replacement."""


class DoesNotFit(Exception):
    """The target does not exist, or the replacement changes nothing. Update tests/reliability/guards."""


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """A check in the product, how to take it out, and the test that must fail without it.

    `without` maps `module:qualname` to a replacement. It has several entries if several checks keep the same
    promise.
    """

    name: str
    red: str
    without: Mapping[str, Replacement]

    def take_out(self) -> None:
        """Make the replacements in this process. Raises DoesNotFit."""
        for target, replacement in self.without.items():
            replace(target, replacement)


def replace(target: str, replacement: Replacement) -> None:
    """Replace `module:qualname` where it is defined, and in every module of the program that imported it by name.

    Raises DoesNotFit.
    """
    owner, name, original = find(target)
    new = _replaced(original, replacement) if isinstance(owner, type) else replacement(original)
    if new is original:
        raise DoesNotFit(f"{target}: the replacement is the original")
    setattr(owner, name, new)
    if isinstance(owner, type):
        return
    for module in [each for each_name, each in sys.modules.items() if each_name.partition(".")[0] == "bot"]:
        for alias, value in list(vars(module).items()):
            if value is original and (callable(original) or alias == name):
                setattr(module, alias, new)


def find(target: str) -> tuple[ModuleType | type, str, Any]:
    """Return owner, name and value of `module:qualname`. The owner itself must define it. Raises DoesNotFit."""
    module, _, qualname = target.partition(":")
    *path, name = qualname.split(".")
    try:
        owner: Any = import_module(module)
        for each in path:
            owner = vars(owner)[each]
        return owner, name, vars(owner)[name]
    except (ModuleNotFoundError, KeyError) as error:
        raise DoesNotFit(f"{target} does not exist: {error}") from error


def _replaced(original: Any, replacement: Replacement) -> Any:
    """Return the replacement of a member of a class, of the same kind as the original."""
    match original:
        case staticmethod() | classmethod():
            return type(original)(replacement(original.__func__))
        case property():
            return property(replacement(original.fget))
        case cached_property():
            return property(replacement(original.func))
        case _:
            return replacement(original)


# --- replacements


def constant(value: object) -> Replacement:
    """Return a replacement that puts this value in the place of a constant."""
    return lambda _: value


def always(answer: object) -> Replacement:
    """Return a replacement that gives this answer to every call."""

    def replaced(original: Any) -> Any:
        async def awaited(*_args: object, **_named: object) -> object:
            return answer

        return awaited if inspect.iscoroutinefunction(original) else lambda *_args, **_named: answer

    return replaced


def around(wrapper: Callable[..., Any]) -> Replacement:
    """Return a replacement that calls `wrapper(original, *arguments)`, which may call the original in another way."""

    def replaced(original: Any) -> Any:
        @wraps(original)
        def called(*args: object, **named: object) -> Any:
            return wrapper(original, *args, **named)

        return called

    return replaced
