"""Tests for bot.store.unrecognized: members and values of a newer version are kept, and no action uses them."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.decision import DecisionState
from bot.domain.identity import Person
from bot.domain.record import Lease, Record
from bot.domain.request import Status
from bot.domain.routing import Route
from bot.domain.rules.reviewing import Review
from bot.domain.surface import DeliveryState, Surface, SurfaceKind
from bot.ports.store import PersonalChat, RowUnreadable
from bot.store.rows import PERSONAL_CHAT, RECORD, decode, encode, encode_over
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, person
from tests.unit.domain.sample import KEY, NOW, SECOND, TARO_REQUESTER, decision, level, request

ROW = Record(
    KEY,
    NOW,
    version=3,
    request=request(level("Level1"), level("Level2")),
    requester=TARO_REQUESTER,
    route=Route("approvals", CHANNEL, settled=True),
    decisions=(decision(HANAKO), decision(ICHIRO, state=DecisionState.REFUSED)),
    surfaces=(Surface("card:approvals", SurfaceKind.CARD, DeliveryState.DELIVERED, CHANNEL, "1"),),
    lease=Lease("a", NOW),
)


def stored(change: Callable[[Any], object] = lambda _: None) -> str:
    """Return the stored JSON of the sample row after a change that a newer version made."""
    row = json.loads(encode(RECORD, ROW))
    change(row)
    return json.dumps(row)


def loaded(text: str) -> Any:
    """Return the parsed JSON of a row. The requester's spellings are a set, so they are stored in any order."""
    row = json.loads(text)
    row["requester"]["spellings"].sort()
    return row


def read(text: str) -> Record:
    return decode(RECORD, text, where="row")


PLACES: dict[str, Callable[[Any], Any]] = {
    "row": lambda row: row,
    "key": lambda row: row["key"],
    "request": lambda row: row["request"],
    "node": lambda row: row["request"]["node"],
    "second level": lambda row: row["request"]["levels"][1],
    "approver": lambda row: row["request"]["levels"][0]["approvers"][0],
    "requester": lambda row: row["requester"],
    "principal": lambda row: row["requester"]["principal"],
    "route": lambda row: row["route"],
    "second decision": lambda row: row["decisions"][1],
    "person of a decision": lambda row: row["decisions"][0]["person"],
    "surface": lambda row: row["surfaces"][0],
    "lease": lambda row: row["lease"],
}


@pytest.mark.parametrize("place", PLACES)
def test_unknown_member_is_skipped_and_written_back(place: str) -> None:
    """A row with an unknown member equals the row without it. A later write keeps the member at its place."""
    part = PLACES[place]
    row = read(stored(lambda row: part(row).update(colour={"shade": ["green"]})))
    assert replace(row, unrecognized=None) == ROW
    written = loaded(encode(RECORD, replace(row, version=4, reconcile_failures=1)))
    assert part(written).pop("colour", None) == {"shade": ["green"]}
    assert written == loaded(encode(RECORD, replace(ROW, version=4, reconcile_failures=1)))


def test_unknown_member_of_a_replaced_lease_is_dropped() -> None:
    """The lease of another process is another object, so it does not get the unknown member."""
    row = read(stored(lambda row: row["lease"].update(colour="green")))
    written = json.loads(encode(RECORD, replace(row, lease=Lease("b", NOW))))
    assert written["lease"] == {"owner": "b", "until": "2026-04-01T09:00:00Z"}


def test_unknown_member_follows_its_element_when_a_list_is_reordered() -> None:
    """Elements are matched by their identity, not by their position."""
    row = read(stored(lambda row: row["decisions"][0].update(colour="green")))
    written = json.loads(encode(RECORD, row.with_decision(replace(row.decisions[0], comment="ok"))))
    assert [each.get("colour") for each in written["decisions"]] == [None, "green"]
    assert written["decisions"][1]["comment"] == "ok"


def test_unknown_member_of_a_review_follows_its_person_if_two_have_the_same_name() -> None:
    """The object id identifies a person."""
    reviews = tuple(Review(person(number).user, "Kim", "Level1", NOW) for number in (1, 2))
    row = json.loads(encode(RECORD, replace(ROW, reviews=reviews)))
    row["reviews"][1]["colour"] = "green"
    written = json.loads(encode(RECORD, read(json.dumps(row))))
    assert [each.get("colour") for each in written["reviews"]] == [None, "green"]


@pytest.mark.parametrize(("member", "value"), [("state", "queued"), ("verdict", "extend"), ("outcome", "outvoted")])
def test_decision_with_an_unknown_value_is_left_out_and_written_back(member: str, value: str) -> None:
    """The row stays readable, shows that it has such a decision, and keeps it."""
    row = read(stored(lambda row: row["decisions"][0].update({member: value})))
    assert row.decisions == ROW.decisions[1:]
    assert row.has_unrecognized_decision
    written = json.loads(encode(RECORD, row.with_decision(decision(HANAKO))))
    assert [each[member] for each in written["decisions"]].count(value) == 1
    assert len(written["decisions"]) == 3


@pytest.mark.parametrize(("member", "value"), [("kind", "hologram"), ("delivery", "queued")])
def test_surface_with_an_unknown_value_is_left_out_and_written_back(member: str, value: str) -> None:
    """The row shows that the surface has such a value, so that it is not posted again."""
    row = read(stored(lambda row: row["surfaces"][0].update({member: value})))
    assert row.surfaces == ()
    assert row.has_unrecognized_surface("card:approvals")
    assert not row.has_unrecognized_decision
    written = json.loads(encode(RECORD, row))
    assert [each[member] for each in written["surfaces"]] == [value]


def _level_state(row: Any) -> None:
    row["request"]["levels"][0]["state"] = "suspended"


def _status(row: Any) -> None:
    row["request"]["status"] = "suspended"


@pytest.mark.parametrize("change", [_level_state, _status])
def test_request_with_an_unknown_value_counts_as_not_read(change: Callable[[Any], None]) -> None:
    """The row has no request until AWS is read again. Until then the stored facts are written back unchanged."""
    text = stored(change)
    row = read(text)
    assert row.request is None
    assert loaded(encode(RECORD, replace(row, version=4))) == {**loaded(text), "version": 4}


def test_newly_read_request_replaces_an_unrecognized_one() -> None:
    """Unknown members of the request are kept. The unknown value is replaced, because this version has read AWS."""
    row = read(stored(lambda row: row["request"].update(status="suspended", colour="green")))
    seen = row.observed(request(status=Status.APPROVED), TARO_REQUESTER, at=NOW + SECOND, since=3)
    written = json.loads(encode(RECORD, seen))["request"]
    assert (written["status"], written["colour"]) == ("approved", "green")


def test_unknown_parts_of_a_row_are_kept_by_a_second_write_and_read() -> None:
    """An unknown member, and a decision with an unknown value, are in the row that this version wrote and read again."""
    row = read(stored(lambda row: (row.update(colour="green"), row["decisions"][0].update(state="queued"))))
    again = read(encode(RECORD, row))
    assert (again.decisions, again.has_unrecognized_decision) == (row.decisions, True)
    assert loaded(encode(RECORD, again)) == loaded(encode(RECORD, row))


@pytest.mark.parametrize(
    ("member", "value"),
    [("version", "many"), ("created_at", "yesterday"), ("decisions", [{"id": "1", "state": "queued"}])],
)
def test_row_with_wrong_types_or_missing_members_is_unreadable_despite_unknown_members(
    member: str, value: object
) -> None:
    """Only unknown members and values are accepted."""
    with pytest.raises(RowUnreadable):
        read(stored(lambda row: row.update({member: value, "colour": "green"})))


def test_personal_chat_keeps_unknown_members() -> None:
    """If a new conversation of a person is stored, unknown members of the earlier one are kept."""
    chat = PersonalChat(Person("id", "tenant", "佐藤 花子"), "a:1", "https://smba.example.com/")
    former = json.loads(encode(PERSONAL_CHAT, chat)) | {"pronouns": "she/her"}
    former["person"]["nickname"] = "hana"
    assert decode(PERSONAL_CHAT, json.dumps(former), where="chat") == chat
    written = json.loads(encode_over(PERSONAL_CHAT, replace(chat, conversation="a:2"), json.dumps(former)))
    assert (written["conversation"], written["pronouns"], written["person"]["nickname"]) == (
        "a:2",
        "she/her",
        "hana",
    )
