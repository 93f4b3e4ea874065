"""An unpacked package as the rules see it, and what they find. Nothing in a package from outside is trusted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bot.app_package.manifest import Json
from bot.text.escape import one_line

LONGEST_SHOWN: Final = 80  # characters of a text from the package in a finding


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake in a package. `check` is the name of the rule; the texts are plain sentences without a period."""

    check: str
    what: str
    why: str
    fix: str


@dataclass(frozen=True, slots=True)
class Package:
    """An unpacked package, and the id of the bot that it is for."""

    entries: Mapping[str, bytes]
    manifest: Json
    app_id: str

    def at(self, place: str) -> Any:
        """Return the value at a place like "bots.0.scopes"; None if there is none."""
        value: Any = self.manifest
        for step in place.split("."):
            if isinstance(value, dict):
                value = value.get(step)
            elif isinstance(value, list) and step.isdecimal():
                value = value[int(step)] if int(step) < len(value) else None
            else:
                return None
        return value

    def text(self, place: str) -> str:
        """Return the text at a place; "" if there is none."""
        value = self.at(place)
        return value if isinstance(value, str) else ""

    def listed(self, place: str) -> list[Any]:
        """Return the list at a place; an empty one if there is none."""
        value = self.at(place)
        return value if isinstance(value, list) else []


def shown(texts: Iterable[object]) -> str:
    """Return texts from the package as one line for a terminal.

    Each is cut to LONGEST_SHOWN. An empty one is shown as "missing".
    """
    return ", ".join(one_line(str(text), LONGEST_SHOWN) or "missing" for text in texts)
