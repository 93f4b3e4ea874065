"""The post of one weekly digest, as the store has it, and which process may post it. Pure.

A process posts only after its claim was stored. If it crashes after that, its hold ends, and another process posts
again: at most one more message.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from bot.domain.spans import runs

HOLD: Final = timedelta(seconds=60)  # longer than one call to Teams may take
LONGEST_PAUSE: Final = timedelta(hours=1)  # between two attempts; a hold that ends later was stored by a wrong clock


@dataclass(frozen=True, slots=True)
class DigestPost:
    """The digest of a channel for one ISO week. `due_at` is when it was due."""

    conversation: str
    week: str
    due_at: datetime
    version: int = 0  # 0: never stored
    owner: str = ""  # the process that claimed it last
    held_until: datetime | None = None  # no other process posts it before
    ended: bool = False  # it was posted or given up
    unconfirmed: int = 0  # posts without a known result
    failures: int = 0  # consecutive attempts that failed

    @property
    def name(self) -> str:
        """The key in the store: one for each channel and ISO week."""
        return f"{self.week}#{self.conversation}"

    def claimed(self, owner: str, now: datetime) -> "DigestPost | None":
        """Return the post with a claim for `owner`; None if it has ended, or may not be posted now.

        A claim counts as a post without a known result, until the result is stored.
        """
        held = self.held_until is not None and runs(self.held_until, now=now, span=LONGEST_PAUSE)
        if self.ended or held:
            return None
        return replace(
            self, version=self.version + 1, owner=owner, held_until=now + HOLD, unconfirmed=self.unconfirmed + 1
        )

    def finished(self) -> "DigestPost":
        """Return the post once it is in Teams, or is given up."""
        return replace(self, version=self.version + 1, held_until=None, ended=True)

    def failed(self, *, retry_at: datetime, unconfirmed: bool) -> "DigestPost":
        """Return the post after a failed attempt. If `unconfirmed`, it may be in Teams all the same."""
        return replace(
            self,
            version=self.version + 1,
            held_until=retry_at,
            unconfirmed=self.unconfirmed - (not unconfirmed),
            failures=self.failures + 1,
        )
