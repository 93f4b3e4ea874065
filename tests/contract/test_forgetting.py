"""Runs what operations.md says about forgetting a person, on real stores."""

import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.domain.decision import Decision
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import Verdict
from bot.ports.store import PersonalChat
from bot.store.dynamodb.items import chat_key
from bot.store.sqlite.store import SqliteStore
from tests.contract import documents
from tests.fakes.aws import key_of

SECTION = documents.section(documents.read(documents.OPERATIONS), "### Forget a person")
NOW = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
FORGOTTEN = Person("AAAAAAAA-0000-4000-8000-000000000001", "tenant", "佐藤 花子", upn="hanako@example.com")
KEPT = Person("BBBBBBBB-0000-4000-8000-000000000002", "tenant", "山田 太郎", upn="taro@example.com")
ENDED, OPEN, OTHER = (key_of(number) for number in (1, 2, 3))


async def fill(path: Path) -> None:
    """Store an ended and an open request that one person approved, one of another person, and where both are."""
    async with SqliteStore(path) as store:
        for person in (FORGOTTEN, KEPT):
            chat = PersonalChat(person, f"a:{person.name}", "https://smba.example.com/teams/")
            await store.remember_chat(chat)
            await store.remember_service_url(chat.conversation, chat.service_url)
        for key, person in ((ENDED, FORGOTTEN), (OPEN, FORGOTTEN), (OTHER, KEPT)):

            def decided(row: Record, person: Person = person, due: bool = key == OPEN) -> Record:
                end = NOW + timedelta(seconds=1)
                row = row.with_decision(Decision("d", person, Verdict.APPROVE, "Level1", NOW, end))
                return row.requeue_by(NOW) if due else row

            await store.apply(key, decided, now=NOW)


async def test_documented_sql_deletes_the_chat_and_the_ended_requests_of_one_person(tmp_path: Path) -> None:
    """Everything else stays: open requests of the person, and all data of other people."""
    path = tmp_path / "node-access.db"
    await fill(path)
    (script,) = documents.blocks(SECTION, "sql")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script.replace("<object id>", FORGOTTEN.object_id.lower()))
    async with SqliteStore(path) as store:
        assert [chat.person.user for chat in await store.personal_chats()] == [KEPT.user]
        assert await store.service_url(f"a:{FORGOTTEN.name}") is None
        assert await store.service_url(f"a:{KEPT.name}") is not None
        assert [await store.load(key) is not None for key in (ENDED, OPEN, OTHER)] == [False, True, True]


async def test_deleting_from_the_audit_trail_in_sqlite_is_refused(tmp_path: Path) -> None:
    """Entries prove who decided what, so the trail is append-only."""
    path = tmp_path / "node-access.db"
    await fill(path)
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("DELETE FROM audit")


def test_documented_dynamodb_key_is_that_of_a_personal_chat() -> None:
    """The command for DynamoDB deletes the item in which the store keeps the chat."""
    found = re.search(r"--key '(\{.+\})'", SECTION)
    assert found
    key = json.loads(found[1].replace("<object id>", FORGOTTEN.object_id.lower()))
    assert key == chat_key(FORGOTTEN.object_id)
