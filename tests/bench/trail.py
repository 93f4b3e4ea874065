"""Figure 6: the command `audit` over a day with many entries, in a process of its own."""

import asyncio
import os
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.domain.audit import AuditEntry
from bot.ports.store import MOST_APPENDED
from bot.store.sqlite.store import SqliteStore
from tests.bench.table import Values

ENTRIES = 300_000
PEOPLE = 200


async def measure(entries: int = ENTRIES) -> Values:
    """Return the CPU seconds of `audit --since 1d`, its start included."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "trail.db"
        async with SqliteStore(file) as store:
            for first in range(0, entries, MOST_APPENDED):
                await store.append_audit(*map(_entry, range(first, min(entries, first + MOST_APPENDED))))
        return {"audit_s": await asyncio.to_thread(_printed, file, entries)}


def _entry(number: int) -> AuditEntry:
    """Return an entry as a decision leaves four of them: with its request, person, decision, execution and role."""
    person, request = number % PEOPLE, number // 4
    return AuditEntry(
        at=datetime.now(UTC) - timedelta(hours=12),
        event=("clicked", "claimed", "sent", "accepted")[number % 4],
        request=f"111122223333/ap-northeast-1/oi-{request:012x}",
        step="Level1",
        verb="approve",
        person=f"00000000-0000-4000-8000-{person:012d}",
        person_name=f"佐藤 花子 {person}",
        tenant="11111111-0000-4000-8000-000000000000",
        conversation="19:approvals@thread.tacv2",
        decision=f"{number:032x}",
        state="pending Level1",
        execution=f"22222222-0000-4000-8000-{request:012x}",
        role="arn:aws:iam::111122223333:role/NodeAccessApprover",
        session=f"hanako{person}@example.com",
    )


def _printed(file: Path, entries: int) -> float:
    """Run the command. Return its CPU seconds. AssertionError if it fails or prints another number of lines."""
    command = (sys.executable, "-m", "bot", "audit", "--since", "1d")
    printed = file.with_suffix(".csv")
    with printed.open("wb") as out:
        actions = [(os.POSIX_SPAWN_DUP2, out.fileno(), 1)]
        environment = {**os.environ, "NODE_ACCESS_STORE": f"sqlite:{file}"}
        process = os.posix_spawn(sys.executable, command, environment, file_actions=actions)
        _, status, used = os.wait4(process, 0)
    with printed.open("rb") as lines:
        assert (status, sum(1 for _ in lines)) == (0, entries + 1)
    return used.ru_utime + used.ru_stime
