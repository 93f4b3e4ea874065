"""What every running process of the bot can do. During an upgrade, that is less than this version can."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Abilities:
    """What each process can do that may read a row or get a click. By default, all that this version can."""

    end_sessions: bool = True  # clicks that end sessions, and the work that follows
    living_messages: bool = True  # messages to requesters that are updated in place
    give_back: bool = True  # clicks on the button with which requesters give access back


ALL_ABILITIES: Final = Abilities()
