"""Tests for bot.store.rows: rows are read as they were written, and unreadable rows raise clear errors."""

import json
import traceback
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings

from bot.domain.audit import AuditEntry
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.storable import storable, storable_row
from bot.ports.store import PersonalChat, RowUnreadable, StoreUnavailable
from bot.store.rows import (
    AUDIT_ENTRY,
    PERSONAL_CHAT,
    RECORD,
    STORED_NAMES,
    adapter_of,
    apply_change,
    decode,
    decode_row,
    encode,
    encode_row,
)
from tests.fakes.aws import key_of
from tests.fakes.strategies import values

NOW = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
TOKYO = timezone(timedelta(hours=9))
SOME_EXAMPLES = settings(max_examples=40)
ROW = Record(key_of(1), NOW, version=1)


@given(record=values(Record))
@SOME_EXAMPLES
def test_row_is_equal_after_encoding_and_decoding(record: Record) -> None:
    """Decoding the JSON of a row gives an equal row."""
    assert decode(RECORD, encode(RECORD, storable(record)), where="row") == record


@given(record=values(Record))
@SOME_EXAMPLES
def test_written_and_read_rows_have_the_same_repr(record: Record) -> None:
    """Apart from the requester, a row is the same before and after storage in every detail that `repr` shows."""
    kept = replace(storable(record), requester=None)  # sets have no order
    assert repr(decode(RECORD, encode(RECORD, kept), where="row")) == repr(kept)


@given(record=values(Record))
@SOME_EXAMPLES
def test_making_a_storable_row_storable_again_changes_nothing(record: Record) -> None:
    """The second call returns the same object."""
    kept = storable(record)
    assert storable(kept) is kept


@given(first=values(Record), second=values(Record))
@SOME_EXAMPLES
def test_changed_row_is_made_storable_like_a_whole_row(first: Record, second: Record) -> None:
    """Half of the fields are those of the former row, which is storable."""
    former = storable(first)
    new = {each.name: getattr(second, each.name) for each in fields(Record)[::2] if each.init}
    changed = replace(former, **new)
    assert storable_row(changed, former) == storable(changed)
    assert storable(storable_row(changed, former)) == storable_row(changed, former)


def test_times_of_a_row_are_stored_in_utc() -> None:
    """A time in another time zone is converted to UTC."""
    row = storable(replace(ROW, requeue_at=NOW.astimezone(TOKYO)))
    assert row.requeue_at == NOW
    assert row.requeue_at.tzinfo is UTC


def test_row_with_a_time_without_a_time_zone_is_refused() -> None:
    """A ValueError is raised, because a zone would be a guess."""
    with pytest.raises(ValueError, match="time zone"):
        storable(replace(ROW, requeue_at=NOW.replace(tzinfo=None)))


def test_lone_surrogate_in_a_stored_text_is_replaced() -> None:
    """JSON allows them, but no store does, so they must not make a write fail."""
    entry = AuditEntry(NOW, "clicked", person_name="a\ud800b 佐藤")
    assert decode(AUDIT_ENTRY, encode(AUDIT_ENTRY, storable(entry)), where="entry").person_name == "a?b 佐藤"


def test_personal_chat_is_equal_after_encoding_and_decoding() -> None:
    """Decoding the JSON of a personal chat gives an equal chat."""
    chat = PersonalChat(Person("id", "tenant", "佐藤 花子"), "a:1", "https://smba.example.com/")
    assert decode(PERSONAL_CHAT, encode(PERSONAL_CHAT, chat), where="chat") == chat


def test_members_missing_in_old_rows_have_defaults() -> None:
    """A row with only its key and its time of creation can be read."""
    stored = {"key": {"account": "1", "region": "r", "ops_item_id": "oi"}, "created_at": "2026-04-01T09:00:00Z"}
    assert decode(RECORD, json.dumps(stored), where="row").surfaces == ()


@pytest.mark.parametrize(
    ("stored", "problem"),
    [
        ("", "json_invalid"),
        ("[]", "dataclass_type"),
        ('{"created_at": "2026-04-01T09:00:00Z"}', "key: missing"),
        (encode(RECORD, ROW).replace('"version":1', '"version":"1"'), "version: int_type"),
        (encode(RECORD, ROW).replace('"decisions":[]', '"decisions":[{"id":"1"}]'), "decisions.0.person: missing"),
        (encode(RECORD, ROW).replace("09:00:00Z", "09:00:00"), "created_at: timezone_aware"),
        (encode(RECORD, ROW).replace("2026-04-01T09:00:00Z", "0001-01-01T00:00:00+09:00"), "out of range"),
    ],
)
def test_error_for_an_unreadable_row_names_the_row_and_the_problem(stored: str, problem: str) -> None:
    """The error names the row and the problem, and the member if the problem is in one. It is a StoreUnavailable."""
    with pytest.raises(RowUnreadable, match="request x cannot be read") as caught:
        decode(RECORD, stored, where="request x")
    assert problem in str(caught.value)
    assert isinstance(caught.value, StoreUnavailable)


def test_error_for_an_unreadable_row_does_not_quote_stored_text() -> None:
    """A broken member may hold text that a person wrote, so neither the message nor the stack trace contains it."""
    words = str(key_of(7))  # not in the source of this test, which a trace shows
    with pytest.raises(RowUnreadable) as caught:
        decode(RECORD, json.dumps({"version": words}), where="row")
    trace = "".join(traceback.format_exception(caught.value))
    assert ("version" in trace, words in trace) == (True, False)


def test_changed_row_has_the_next_version() -> None:
    """The version grows by one, even if the change itself sets another version."""
    row, _ = apply_change(ROW, ROW.key, lambda row: replace(row, reconcile_failures=1, version=70), now=NOW)
    assert (row.version, row.reconcile_failures) == (2, 1)


def test_missing_row_is_created_at_the_given_time() -> None:
    """The change function gets a new row that was created at `now`."""
    row, _ = apply_change(None, ROW.key, lambda row: replace(row, reconcile_failures=1), now=NOW)
    assert row == replace(ROW, reconcile_failures=1)


def test_unchanged_row_keeps_its_version() -> None:
    """The store sees by the version that no write is needed."""
    assert apply_change(ROW, ROW.key, replace, now=NOW) == (ROW, ())
    assert apply_change(None, ROW.key, lambda row: row, now=NOW)[0].version == 0


# --- stored names


@dataclass(frozen=True, slots=True)
class Visit:
    """A class with fields that were stored before they were renamed to `requeue_at` and `identified`."""

    requeue_at: datetime | None = None
    identified: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Diary:
    """A class that holds renamed fields one level deeper."""

    visits: tuple[Visit, ...] = ()
    last: Visit | None = None


DIARY = adapter_of(Diary, {Visit: {"requeue_at": "next_look_at", "identified": "placed"}})
STORED_VISIT = '{"next_look_at":"2026-04-01T09:00:00Z","placed":true,"note":"a"}'
STORED_DIARY = f'{{"visits":[{STORED_VISIT}],"last":{STORED_VISIT}}}'
VISIT = Visit(requeue_at=NOW, identified=True, note="a")


def test_renamed_field_is_written_under_its_stored_name() -> None:
    """The rule holds inside lists and other objects too. Other fields are stored under their own names."""
    assert encode(DIARY, Diary((VISIT,), VISIT)) == STORED_DIARY


def test_renamed_field_is_read_under_its_stored_name() -> None:
    """Values that an earlier version wrote are still read."""
    assert decode(DIARY, STORED_DIARY, where="row") == Diary((VISIT,), VISIT)


def test_python_name_of_a_renamed_field_is_not_read() -> None:
    """In a stored row, the Python name is an unknown member, which is skipped."""
    stored = STORED_VISIT.replace('"placed":true', '"identified":true')
    assert decode(DIARY, f'{{"last":{stored}}}', where="row").last == replace(VISIT, identified=False)


def test_error_for_an_unreadable_row_names_a_renamed_field_as_it_is_stored() -> None:
    """The person on call can find the member in the stored row by the name in the error."""
    with pytest.raises(RowUnreadable, match=r"last\.placed: bool_type"):
        decode(DIARY, '{"last":{"placed":"yes"}}', where="row")


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ({"requeued_at": "next_look_at"}, "Visit has no field requeued_at"),
        ({"note": "identified"}, "two fields of Visit have the same stored name"),
        ({"note": "text", "identified": "text"}, "two fields of Visit have the same stored name"),
    ],
)
def test_stored_name_without_effect_or_used_twice_is_refused(names: dict[str, str], problem: str) -> None:
    """Such an entry raises an error, so no value is lost."""
    with pytest.raises(ValueError, match=problem):
        adapter_of(Diary, {Visit: names})


def test_table_of_stored_names_has_only_renamed_fields() -> None:
    """A field that is stored under its Python name needs no entry."""
    assert [names for names in STORED_NAMES.values() for field, stored in names.items() if field == stored] == []


def test_row_that_this_process_wrote_is_not_decoded() -> None:
    """A read that finds the JSON of the last write returns the row that was written."""
    assert decode_row(str(ROW.key), encode_row(ROW)) is ROW


def test_row_that_was_written_again_is_decoded() -> None:
    """Another process may write the row, and a write may be rolled back: only a row with the stored JSON counts."""
    other = replace(ROW, version=2)
    encode_row(ROW)
    assert decode_row(str(ROW.key), encode(RECORD, other)) == other


def test_row_with_unrecognized_parts_is_decoded_after_a_write() -> None:
    """A write replaces the text of these parts."""
    text = json.dumps({**json.loads(encode(RECORD, ROW)), "newer": 1})
    changed = replace(decode_row(str(ROW.key), text), version=2)
    written = encode_row(changed)
    row = decode_row(str(ROW.key), written)
    assert row.unrecognized is not None
    assert row.unrecognized.text == written
