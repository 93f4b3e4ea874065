"""The rows of the first release are read and written without loss, in both stores.

The comparison uses only JSON, so it does not change with a Python name. tests/contract/recorded/README.md says how the
rows were recorded.
"""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from bot.domain.access.endings import EndingStage, EndState, Stopped
from bot.domain.access.sessions import Whose
from bot.domain.identity import Person
from bot.domain.record import Record, Visits
from bot.domain.request import RequestKey
from bot.domain.shown.direct import is_living_copy, living_messages
from bot.domain.surface import SurfaceKind
from bot.ports.store import Change, RowUnreadable, Store
from bot.store.rows import AUDIT_ENTRY, DIGEST_POST, PERSONAL_CHAT, RECORD, decode, encode
from tests.contract.recording import (
    ROWS,
    as_text,
    comparable,
    dynamodb_content,
    dynamodb_items,
    fill_dynamodb,
    fill_sqlite,
    in_order,
    losses,
    recorded,
    sqlite_content,
    sqlite_tables,
    values_at,
    without,
)
from tests.contract.stores import DynamoShelf, Shelf, SqliteShelf
from tests.fakes.store import all_watched

NOW = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
MICRO = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KINDS = {"sqlite": SqliteShelf, "dynamodb": DynamoShelf}
ADAPTERS: dict[str, TypeAdapter[Any]] = {
    "requests": RECORD,
    "people": PERSONAL_CHAT,
    "audit": AUDIT_ENTRY,
    "digests": DIGEST_POST,
}
NAMES = recorded("names.json")
MEMBERS = [(kind, path) for kind, paths in NAMES["row members"].items() for path in paths]


def every(kind: str) -> list[Any]:
    """Return the recorded rows of a kind."""
    rows = ROWS[kind]
    return [*(rows.values() if isinstance(rows, dict) else rows)]


def key_of(row: Any) -> RequestKey:
    return RequestKey.parse("/".join(row["key"].values()))


def read_and_written(kind: str, row: Any, *, encoded: Callable[[TypeAdapter[Any], Any], str] = encode) -> Any:
    """Read a stored row and return the JSON that this version writes for it."""
    adapter = ADAPTERS[kind]
    return in_order(json.loads(encoded(adapter, decode(adapter, as_text(row), where=kind))))


def as_stored(kind: str, value: Any) -> Any:
    """Return the JSON that would be stored for a value."""
    return in_order(json.loads(encode(ADAPTERS[kind], value)))


@pytest.fixture(params=KINDS)
async def empty(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    """An empty store of each kind."""
    shelf: Shelf = KINDS[request.param](tmp_path)
    yield shelf
    await shelf.close()


@pytest.fixture
async def store(empty: Shelf) -> Store:
    """A store of each kind with the recorded data."""
    fill_sqlite(empty) if isinstance(empty, SqliteShelf) else fill_dynamodb(empty)  # type: ignore[arg-type]  # a DynamoShelf
    return await empty.open()


# --- reading


async def test_recorded_requests_are_read_without_loss(store: Store) -> None:
    """Every member of every stored row comes back with its value, by its key and by its OpsItem id."""
    found = {name: await store.load(key_of(row)) for name, row in ROWS["requests"].items()}
    assert losses(ROWS["requests"], {name: as_stored("requests", each) for name, each in found.items()}) == []
    for row, record in zip(every("requests"), found.values(), strict=True):
        assert record in await store.find(row["key"]["ops_item_id"])


async def test_recorded_personal_chats_are_read_without_loss(store: Store) -> None:
    """Every chat is read, and each is found by the person's object id in capital letters."""
    found = await store.personal_chats()
    assert losses(every("people"), [as_stored("people", each) for each in found]) == []
    for object_id, row in ROWS["people"].items():
        assert losses(row, as_stored("people", await store.personal_chat(object_id.upper()))) == []


async def test_recorded_audit_trail_is_read_without_loss(store: Store) -> None:
    """Every entry is read, in the order of writing. Time limits of a query work on the recorded times."""
    found = await store.audit(NOW)
    assert losses(every("audit"), [as_stored("audit", each) for each in found]) == []
    assert len(await store.audit(NOW, NOW + timedelta(days=1))) == len(found) - 1


async def test_recorded_service_urls_watermarks_and_leases_are_read(store: Store) -> None:
    """Service URLs, watermarks and the sweep's leases are read, with times exact to the microsecond."""
    assert await store.service_url("19:approvers@thread.tacv2") == "https://smba.trafficmanager.net/jp/"
    assert await store.service_url("19:prod@thread.tacv2") == "https://smba.trafficmanager.net/emea/"
    assert await store.watermark("111122223333", "ap-northeast-1") == NOW
    assert await store.watermark("444455556666", "us-east-1") == NOW - timedelta(minutes=5) + 123456 * MICRO
    held = NOW + timedelta(minutes=2) + MICRO
    for moment, owner, taken in [
        (held - MICRO, "replica-1", False),
        (NOW, "replica-2", True),
        (held, "replica-1", True),
    ]:
        assert await store.lease_sweep("444455556666", "us-east-1", owner, now=moment, until=held) is taken


async def test_recorded_due_and_watched_rows_are_listed(store: Store) -> None:
    """Due rows and watched rows are found as before the upgrade, and no row is unreadable."""
    names = {key_of(row): name for name, row in ROWS["requests"].items()}
    watched = await all_watched(store)
    assert ([names[each.key] for each in watched.rows], watched.unreadable) == (
        [
            "approved",
            "unreadable facts",
            "auto-approved",
            "hint",
            "postponed delivery",
            "several nodes",
            "other clouds",
            "outside voters",
            "signal on its way",
            "level without another approver",
            "level that was called",
            "earlier access",
            "waiting",
        ],
        (),
    )
    due = await store.due(NOW + timedelta(minutes=60), 10)
    assert [names[key] for key in due] == [
        "waiting",
        "hint",
        "postponed delivery",
        "unreadable facts",
        "signal on its way",
        "auto-approved",
    ]
    assert await store.next_due() == NOW + timedelta(minutes=9, days=-3650)


async def test_recorded_rows_expire_a_year_after_their_request_ended(tmp_path: Path) -> None:
    """A row whose request was never read expires after a week."""
    shelf = SqliteShelf(tmp_path)
    fill_sqlite(shelf)
    store = await shelf.open()
    end = NOW + timedelta(minutes=30, days=365)
    counts = [await store.forget_expired(each) for each in (NOW + timedelta(days=7), end - MICRO, end)]
    await shelf.close()
    assert counts == [7, 0, 11]


# --- the meaning of values


def read(name: str) -> Record:
    found: Record = decode(RECORD, as_text(ROWS["requests"][name]), where=name)
    return found


def test_recorded_values_keep_their_meaning() -> None:
    """The domain draws the expected conclusions from the recorded rows. The expected ones are written by hand."""
    waiting, approved, cancelled = map(read, ("waiting", "approved", "cancelled"))
    assert waiting.request is not None
    assert waiting.request.waiting is not None
    level = waiting.request.waiting
    assert (level.step, level.required, level.approvals) == ("Level2", 1, 0)
    assert level.timeout == timedelta(minutes=90)
    assert waiting.request.node.tag("Team") == "決済"
    assert [each.id for each in waiting.live_decisions] == ["d3", "d4", "d5"]
    assert [each.id for each in approved.live_decisions] == ["e3"]
    assert waiting.leased_by("replica-1")
    assert not waiting.leased_by("replica-2")
    assert waiting.leased_to("replica-2", now=NOW + timedelta(minutes=9), span=timedelta(minutes=1)) is None
    assert approved.surface("dm:approved") is not None
    assert cancelled.decision("i1") is not None
    assert waiting.requester is not None
    assert waiting.requester.person is not None
    assert waiting.requester.is_identified_as(waiting.requester.person)
    assert not waiting.requester.is_person(waiting.decisions[0].person)
    ended = {name: row.request.status.ended for name in ROWS["requests"] if (row := read(name)).request}
    assert sorted(name for name, over in ended.items() if not over) == [
        "earlier access",
        "level that was called",
        "level without another approver",
        "other clouds",
        "outside voters",
        "replica",
        "several nodes",
        "unreadable facts",
        "waiting",
    ]
    assert list(dict(read("outside voters").voters).values()) == ["佐藤 花子"]
    assert list(dict(read("level without another approver").voter_users).values()) == [
        "aaaaaaaa-0000-4000-8000-900000000003"
    ]
    assert read("level without another approver").no_second_approver
    called = read("level that was called").level_call("Level1")
    assert called is not None
    assert called.at == NOW + timedelta(minutes=10)
    (escalation,) = read("escalated level").escalations
    assert (escalation.step, escalation.channel, escalation.at) == ("Level1", "leads", NOW + timedelta(hours=2))
    messages = living_messages(read("living message"), Person("aaaaaaaa-0000-4000-8000-900000000003", ""))
    assert [(each.kind, is_living_copy(each.name)) for each in messages] == [
        (SurfaceKind.LIVING, False),
        (SurfaceKind.LIVING, True),
    ]
    (review,) = read("under review").reviews
    assert (review.user, review.step) == ("aaaaaaaa-0000-4000-8000-900000000003", "Level1")
    assert review.until == NOW + timedelta(minutes=25, milliseconds=500)
    assert read("earlier access").visits == Visits(4, datetime(2026, 3, 21, 5, tzinfo=UTC), 90)
    usage = read("used access").usage
    assert usage is not None
    assert [(each.whose, each.open) for each in usage.sessions] == [
        (Whose.NAMED, True),
        (Whose.ALONE, False),
        (Whose.UNCLEAR, False),
    ]
    assert (usage.readable, usage.ended_read_at, usage.more) == (False, NOW + timedelta(minutes=45), True)
    endings = read("ended sessions").endings
    assert [each.stopped for each in endings] == [*list(Stopped)[1:4], Stopped.UNREADABLE, None]
    assert [each.stage for each in read("endings without sessions").endings] == [EndingStage.OVER, EndingStage.WAITS]
    assert [each.state for ending in endings for each in ending.sessions] == [
        EndState.ENDED,
        EndState.UNCONFIRMED,
        EndState.DENIED,
        EndState.FAILED,
        EndState.ENDED,
        EndState.FOUND,
        EndState.ASKED,
    ]
    several = read("several nodes").request
    assert several is not None
    assert [each.id for each in several.targets] == ["i-02999bd501754105a", "mi-0a1b2c3d4e5f67890"]
    elsewhere = read("other clouds").request
    assert elsewhere is not None
    assert [each.host for each in elsewhere.targets] == ["Azure (japaneast)", "Google Cloud"]


# --- writing


def becoming(record: Record) -> Change:
    """Return a change that turns any row into this one."""
    return lambda _: record


async def filled(store: Store) -> None:
    """Write all recorded data except the audit trail with the product."""
    for row in every("requests"):
        record = decode(RECORD, as_text(row), where="recorded")
        while (await store.apply(record.key, becoming(record), now=NOW)).version < record.version:
            pass  # each write adds one to the version
    for row in every("people"):
        await store.remember_chat(decode(PERSONAL_CHAT, as_text(row), where="recorded"))
    for row in every("digests"):
        await store.write_digest_post(decode(DIGEST_POST, as_text(row), where="recorded"))
    tables = sqlite_tables()
    for url in tables["service_urls"]:
        await store.remember_service_url(url["conversation"], url["service_url"])
    for item in dynamodb_items():
        kind, _, channel = item["pk"]["S"].partition("#")
        if kind == "team-group":
            await store.remember_team_group(channel, item["group_id"]["S"])
    for lease in tables["sweep_leases"]:
        until = EPOCH + lease["until"] * MICRO
        await store.lease_sweep(lease["account"], lease["region"], lease["owner"], now=NOW, until=until)
    for mark in tables["watermarks"]:
        await store.advance_watermark(mark["account"], mark["region"], EPOCH + mark["moment"] * MICRO)


async def test_sqlite_stores_the_same_rows_as_the_first_release(tmp_path: Path) -> None:
    """Every table, column and JSON member of the first release is written with the same value."""
    shelf = SqliteShelf(tmp_path)
    await filled(await shelf.open())
    await shelf.close()
    before, after = sqlite_tables(), sqlite_content(shelf.path)
    assert losses({**before, "audit": []}, {**after, "audit": []}) == []


async def test_sqlite_stores_the_same_audit_trail_as_the_first_release(tmp_path: Path) -> None:
    """Every entry of the audit trail is written with the same value."""
    shelf = SqliteShelf(tmp_path)
    store = await shelf.open()
    for row in every("audit"):
        await store.append_audit(decode(AUDIT_ENTRY, as_text(row), where="recorded"))
    await shelf.close()
    assert losses(sqlite_tables()["audit"], sqlite_content(shelf.path)["audit"]) == []


def is_audit(item: Any) -> bool:
    return str(item["pk"]["S"]).startswith("audit")


@pytest.fixture
async def table(tmp_path: Path) -> AsyncIterator[DynamoShelf]:
    """An empty table."""
    shelf = DynamoShelf(tmp_path)
    yield shelf
    await shelf.close()


async def test_dynamodb_stores_the_same_rows_as_the_first_release(table: DynamoShelf) -> None:
    """Every item, key, attribute and JSON member of the first release is written with the same value."""
    await filled(await table.open())
    before = [each for each in dynamodb_items() if not is_audit(each)]
    after = [each for each in dynamodb_content(table) if not is_audit(each)]
    assert losses(comparable(before), comparable(after)) == []


async def test_dynamodb_stores_the_same_audit_trail_as_the_first_release(table: DynamoShelf) -> None:
    """Every entry of the audit trail, and the list of its days, is written with the same value."""
    store = await table.open()
    for row in every("audit"):
        await store.append_audit(decode(AUDIT_ENTRY, as_text(row), where="recorded"))
    before, after = (filter(is_audit, items) for items in (dynamodb_items(), dynamodb_content(table)))
    assert losses(comparable([*before]), comparable([*after])) == []


# --- controls


@pytest.mark.parametrize(("kind", "path"), MEMBERS)
def test_comparison_of_recorded_rows_finds_a_member_that_a_reader_skips(kind: str, path: str) -> None:
    """If a reader skips a member, the comparison of at least one recorded row fails."""

    def kept(row: Any) -> bool:
        try:
            return losses(row, read_and_written(kind, without(row, path))) == []
        except RowUnreadable:
            return False

    assert not all(map(kept, every(kind)))


def test_comparison_of_recorded_rows_finds_a_member_that_a_writer_renames() -> None:
    """It passes for the product's own writer."""

    def renaming(adapter: TypeAdapter[Any], value: Any) -> str:
        return encode(adapter, value).replace('"announced":', '"promised":')

    row = ROWS["requests"]["waiting"]
    assert losses(row, read_and_written("requests", row)) == []
    assert losses(row, read_and_written("requests", row, encoded=renaming)) == [
        f".decisions[{n}].announced" for n in range(5)
    ]


def test_comparison_of_recorded_rows_finds_a_changed_value() -> None:
    """The comparison finds another enum value, a time that differs by a microsecond, and a number for a boolean."""
    row = ROWS["requests"]["waiting"]
    for old, new in [
        ('"state":"sent"', '"state":"sending"'),
        (".250001Z", ".250002Z"),
        ('"placed":true', '"placed":1'),
    ]:
        changed = as_text(row).replace(old, new)
        assert changed != as_text(row)
        assert len(losses(row, json.loads(changed))) == 1


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        (kind, path, value)
        for kind, paths in NAMES["enum values"].items()
        for path, values in paths.items()
        for value in values
    ],
)
def test_every_recorded_enum_value_is_read_and_written_back(kind: str, path: str, value: str) -> None:
    """Each value of each stored enum is kept, at every place where a row can have it."""
    above, _, name = path.rpartition(".")
    row = next(each for each in every(kind) if values_at(each, path))
    changed = json.loads(as_text(row))
    for part in values_at(changed, above) if above else [changed]:
        part[name] = value
    assert values_at(changed, path)
    assert losses(changed, read_and_written(kind, changed)) == []


NEW_VALUES = ("newer", "", "x" * 5000, 5, None, ["pending"])


@pytest.mark.parametrize("value", NEW_VALUES, ids=lambda each: str(each)[:20] or "empty")
@pytest.mark.parametrize(
    ("kind", "path"), [(kind, path) for kind, paths in NAMES["enum values"].items() for path in paths]
)
def test_unknown_value_of_any_enum_is_read_and_written_back(kind: str, path: str, value: Any) -> None:
    """A newer version may store any value in such a member, also one of another type.

    The row stays readable and keeps it.
    """
    above, _, name = path.rpartition(".")
    row = next(each for each in every(kind) if values_at(each, path))
    changed = json.loads(as_text(row))
    for part in values_at(changed, above):
        part[name] = value
    assert losses(in_order(changed), read_and_written(kind, changed)) == []
