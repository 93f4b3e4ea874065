"""Starts `serve` with additions that proofs need and the product must not have.

    python -m tests.fakes.launcher FOLDER [DEFECT]

- A clock that can be advanced: FOLDER/ahead has the seconds (`TimeOffset`).
- The process kills itself at the point in FOLDER/kill_at: for example `before decision_sent`, inside the transaction
  of that write, or `after card_claimed`, once that write is durable.
- A line in the log for every write.
- The defect DEFECT, if it is given.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from bot import app
from bot.config.settings import load
from bot.domain.decision import DecisionState
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.domain.rules.claims import Claim
from bot.ports.store import Change
from bot.service.clicks import claiming
from bot.service.decisions import held_decision
from bot.store.sqlite.store import SqliteStore
from tests.fakes.offset_clock import OffsetClock, TimeOffset

AHEAD, KILL_AT = "ahead", "kill_at"
ROW_WRITTEN = '{"event": "row_written"}\n'  # a line of the log; a test that waits for a row then reads it again


class Defect(StrEnum):
    """A defect to put into the process, to show that a proof notices it."""

    LOST_WRITE = "lost_write"  # the store reports that a decision was stored as sent, but did not store it
    DEAD_LOOP = "dead_loop"  # a loop ends with an error
    NO_CLAIM = "no_claim"  # every claim is granted, and every level has room
    NO_DRAIN = "no_drain"  # SIGTERM is not handled, so it ends the process at once


def points(before: Record, after: Record) -> set[str]:
    """Return the names of the changes between two versions of a row, for comparison with FOLDER/kill_at."""
    named = {"row_made"} if not before.version else set()
    if after.lease and not before.lease:
        named.add("lease_taken")
    named |= {f"{each.kind}_{each.delivery}" for each in after.surfaces if each not in before.surfaces}
    former = {each.id: each.state for each in before.decisions}
    return named | {f"decision_{each.state}" for each in after.decisions if former.get(each.id) is not each.state}


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killing_itself(apply: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    """Wrap a store's `apply` so that the process kills itself at the point that the file KILL_AT in `folder` names."""

    async def wrapped(self: SqliteStore, key: RequestKey, change: Change, *, now: datetime) -> Record:
        armed = folder / KILL_AT
        moment, _, point = armed.read_text("ascii").partition(" ") if armed.is_file() else ("", "", "")
        written: set[str] = set()

        def watched(record: Record) -> Record:
            changed = change(record)
            written.clear()
            written.update(points(record, changed))
            if moment == "before" and point in written:
                _die()
            return changed

        record: Record = await apply(self, key, watched, now=now)
        if moment == "after" and point in written:
            _die()
        sys.stderr.write(ROW_WRITTEN)
        return record

    return wrapped


def losing_sent(apply: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a store's `apply` so that it returns a row with a decision in the state `sent`, but does not store it."""

    class NotStored(Exception):
        """Carries the row that would have been stored."""

    async def wrapped(self: SqliteStore, key: RequestKey, change: Change, *, now: datetime) -> Record:
        def forgotten(record: Record) -> Record:
            changed = change(record)
            if any(each.state is DecisionState.SENT for each in changed.decisions):
                raise NotStored(changed)
            return changed

        try:
            record: Record = await apply(self, key, forgotten, now=now)
        except NotStored as lost:
            record = lost.args[0]
        return record

    return wrapped


class DeadLoop:
    """A loop that ends with an error."""

    async def run(self) -> None:
        """Raise an error."""
        raise ConnectionError("the loop is dead")


def break_it(defect: Defect) -> None:
    """Put a defect into this process."""
    match defect:
        case Defect.LOST_WRITE:
            SqliteStore.apply = losing_sent(SqliteStore.apply)  # type: ignore[method-assign]  # the defect
        case Defect.DEAD_LOOP:
            vars(app).update(LoopWatch=lambda _: DeadLoop())
        case Defect.NO_CLAIM:
            vars(claiming).update(claim=lambda **_: Claim())
            vars(held_decision).update(has_room=lambda *_: True)
        case Defect.NO_DRAIN:
            asyncio.SelectorEventLoop.add_signal_handler = lambda *_: None  # type: ignore[method-assign]  # the defect


def main(folder: Path, defect: str = "") -> None:
    """Serve with the clock of FOLDER/ahead, the kill point of FOLDER/kill_at, and the defect if one is given."""
    lead = TimeOffset(folder / AHEAD)
    vars(app).update(SystemClock=lambda: OffsetClock(lead.now))
    apply = killing_itself(SqliteStore.apply, folder)
    SqliteStore.apply = apply  # type: ignore[method-assign]  # the store of `serve` must be the product's own
    if defect:
        break_it(Defect(defect))
    app.serve(*load())


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
