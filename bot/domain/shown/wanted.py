"""One surface that Teams must show, and the digest of its content."""

import hashlib
import json
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import assert_never

from bot.domain.identity import Person
from bot.domain.routing import Channel
from bot.domain.shown.card_places import is_copy
from bot.domain.shown.direct import is_living_copy
from bot.domain.shown.replies.reply_views import View
from bot.domain.surface import SurfaceKind


@dataclass(frozen=True, slots=True)
class Wanted:
    """One surface that Teams must show. An `overtaken` message is skipped unless it was sent before."""

    name: str
    kind: SurfaceKind
    view: View
    channel: Channel
    person: Person | None = None  # the recipient of a direct message
    overtaken: bool = False
    announces: tuple[str, ...] = ()  # the direct messages that are not sent if this one is posted

    @property
    def line(self) -> str:
        """The sequence in which it is delivered.

        One for the notes of a channel, one for all direct messages that are sent once, one for each message that is
        updated.
        """
        match self.kind:
            case SurfaceKind.CARD | SurfaceKind.LIVING:
                return self.name
            case SurfaceKind.NOTE:
                return f"{self.kind} {self.channel.name}"
            case SurfaceKind.DIRECT:
                return self.kind
            case _:
                assert_never(self.kind)

    @property
    def is_copy(self) -> bool:
        """True for a further copy of a message. Copies are updated, but never posted again."""
        return is_copy(self.name) or is_living_copy(self.name)

    @property
    def digest(self) -> str:
        """SHA-256 of the message's content: the view's facts, and the channel's language and time zone.

        Rows store it, and each card whose digest differs is updated. It therefore depends on no Python name of a class
        or an enum member, and a new field changes it only where the field differs from its default. Renaming a field
        of a view, or changing its default, updates each card once.
        """
        content = [_codes(self.view), self.channel.locale, self.channel.timezone]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _codes(value: object) -> object:
    """Return the value in the types of JSON: moments in ISO 8601, spans in seconds, views without default values."""
    match value:
        case Enum():
            return value.value
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case tuple():
            return [_codes(each) for each in value]
        case _ if is_dataclass(value):
            parts = ((each.name, getattr(value, each.name), each.default) for each in fields(value))
            return {name: _codes(part) for name, part, default in parts if part != default}
        case _:
            return value
