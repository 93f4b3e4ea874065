"""Starts `serve` with what a proof needs and the product must not have.

    python -m tests.fakes.launcher FOLDER [DEFECT]

A clock that can be put forward: FOLDER/ahead says by how many seconds (`Lead`). Points at which the process kills itself:
FOLDER/kill_at says `before decision_sent`, `after card_claimed` …: inside that write's transaction, or once it is durable.
A line in the log for every write. And defects.
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
from bot.domain.claims import Claim
from bot.domain.decision import DecisionState
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.ports.store import Change
from bot.service.clicks import claiming, signalling
from bot.store.sqlite.store import SqliteStore
from tests.fakes.ahead import AheadClock, Lead

AHEAD, KILL_AT = "ahead", "kill_at"
ROW_WRITTEN = '{"event": "row_written"}\n'  # among the log's lines: whoever waits for a row looks at it again


class Defect(StrEnum):
    """What can be broken in the process, to show that a proof would see it."""

    FORGETFUL = "forgetful"  # the store says that a signal may leave, and has not kept that it did
    DEAD_LOOP = "dead_loop"  # a loop that ends as no loop may
    GRANTING = "granting"  # every claim is granted, and every level has room
    DEAF = "deaf"  # it does not hear SIGTERM, which then ends it at once


def points(before: Record, after: Record) -> set[str]:
    """Name what a write does."""
    named = {"row_made"} if not before.version else set()
    if after.lease and not before.lease:
        named.add("lease_taken")
    named |= {f"{each.kind}_{each.delivery}" for each in after.surfaces if each not in before.surfaces}
    former = {each.id: each.state for each in before.decisions}
    return named | {f"decision_{each.state}" for each in after.decisions if former.get(each.id) is not each.state}


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killing_itself(apply: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    """Wrap a store's `apply`: it dies at the point that stands in FOLDER/kill_at."""

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


def forgetful(apply: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a store's `apply`: that a signal may leave is answered and not kept."""

    class Unkept(Exception):
        """Carries what would have been written."""

    async def wrapped(self: SqliteStore, key: RequestKey, change: Change, *, now: datetime) -> Record:
        def forgotten(record: Record) -> Record:
            changed = change(record)
            if any(each.state is DecisionState.SENT for each in changed.decisions):
                raise Unkept(changed)
            return changed

        try:
            record: Record = await apply(self, key, forgotten, now=now)
        except Unkept as unkept:
            record = unkept.args[0]
        return record

    return wrapped


class DeadLoop:
    """A source of work that dies."""

    async def run(self) -> None:
        """Die."""
        raise ConnectionError("the loop is dead")


def break_it(defect: Defect) -> None:
    """Put a defect into this process."""
    match defect:
        case Defect.FORGETFUL:
            SqliteStore.apply = forgetful(SqliteStore.apply)  # type: ignore[method-assign]
        case Defect.DEAD_LOOP:
            vars(app).update(LoopWatch=lambda _: DeadLoop())
        case Defect.GRANTING:
            vars(claiming).update(claim=lambda **_: Claim())
            vars(signalling).update(has_room=lambda *_: True)
        case Defect.DEAF:
            asyncio.SelectorEventLoop.add_signal_handler = lambda *_: None  # type: ignore[method-assign]


def main(folder: Path, defect: str = "") -> None:
    """Serve."""
    lead = Lead(folder / AHEAD)
    vars(app).update(SystemClock=lambda: AheadClock(lead.now))
    SqliteStore.apply = killing_itself(SqliteStore.apply, folder)  # type: ignore[method-assign]
    if defect:
        break_it(Defect(defect))
    app.serve(*load())


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
