"""Tests for parsing events: which request must be reconciled, and which policies conflict."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given

from bot.aws.events import FAILED, SENT, UnreadableEvent, parse_event, sent_at
from bot.ports.aws import Hint
from tests.unit.aws.samples import KEY, MANY_EXAMPLES, as_utf8, event, mangled

OCCURRED_AT = datetime(2026, 4, 1, 9, 30, 2, tzinfo=UTC)


@pytest.mark.parametrize("kind", ["Approver Access Request Status Update", "Requester Access Request Status Update"])
def test_event_gives_the_key_of_its_request(kind: str) -> None:
    """The key has account, Region and OpsItem id. The status in an event is ignored, because it is not trusted."""
    assert parse_event(json.dumps(event(kind, AccessRequestStatus="Approved")), "r") == Hint(
        "r", KEY, kind, (), OCCURRED_AT
    )


def test_event_of_a_failed_request_names_conflicting_policies() -> None:
    """AWS gives the names of conflicting policies only in this event. Entries that are not names are left out."""
    hint = parse_event(json.dumps(event(FAILED, ApplicablePolicies=["prod", "", 7, "dev"])), "r")
    assert hint == Hint("r", KEY, FAILED, ("prod", "dev"), OCCURRED_AT)


@pytest.mark.parametrize("time", [None, 7, "", "yesterday", "2026-13-01T00:00:00Z"])
def test_invalid_time_of_an_event_is_ignored(time: object) -> None:
    """The event still names its request, and has no time."""
    hint = parse_event(json.dumps({**event(), "time": time}), "r")
    assert (hint.key, hint.occurred_at) == (KEY, None)


def test_conflicting_policies_are_ignored_in_events_other_than_a_failure() -> None:
    """In another kind of event, the member ApplicablePolicies is ignored."""
    assert parse_event(json.dumps(event(ApplicablePolicies=["prod"])), "r").conflicting_policies == ()


def test_key_of_a_request_comes_from_the_arn_in_resources_if_the_detail_has_no_id() -> None:
    """If the detail has no OpsItem id, the key comes from the ARN of the OpsItem in `resources`."""
    envelope = event(FAILED, OpsItemId=None)
    envelope["resources"] = [f"arn:aws:ssm:ap-northeast-1:111122223333:opsitem/{KEY.ops_item_id}"]
    assert parse_event(json.dumps(envelope), "r").key == KEY


@pytest.mark.parametrize(
    "changed", [{"detail-type": "EC2 Instance State-change Notification"}, {"source": "my.own.application"}]
)
def test_event_of_a_foreign_source_or_kind_has_no_request(changed: dict[str, Any]) -> None:
    """Such an event is parsed without an error, so that the bot can log and delete it."""
    assert parse_event(json.dumps({**event(), **changed}), "r").key is None


@pytest.mark.parametrize(
    "body",
    [
        None,
        "",
        "hello",
        "[]",
        "{}",
        json.dumps({**event(), "account": "12"}),
        json.dumps({**event(), "region": None}),
        json.dumps(event(OpsItemId="oi-1")),
        json.dumps(event(OpsItemId=None)),
    ],
)
def test_message_that_is_no_event_or_names_no_request_raises_unreadable_event(body: object) -> None:
    """An access request event must name its request."""
    with pytest.raises(UnreadableEvent):
        parse_event(body, "r")


@MANY_EXAMPLES
@given(mangled(event))
def test_any_event_is_parsed_or_raises_the_declared_error(document: object) -> None:
    """A mangled event gives a hint with texts that can be encoded as UTF-8, or raises UnreadableEvent."""
    try:
        hint = parse_event(json.dumps(document, default=str), "r")
    except UnreadableEvent:
        return
    as_utf8(hint)


@pytest.mark.parametrize(
    "attributes", [None, "", 7, {}, {SENT: None}, {SENT: "yesterday"}, {SENT: "1" * 400}, {SENT: "１" * 13}]
)
def test_invalid_sent_time_of_a_message_is_ignored(attributes: object) -> None:
    """An invalid sent time gives None and raises no error."""
    assert sent_at(attributes) is None


def test_sent_time_of_a_message_is_read_in_milliseconds() -> None:
    """SQS gives the time as digits: milliseconds since 1970."""
    assert sent_at({SENT: "1775035740250"}) == datetime(2026, 4, 1, 9, 29, 0, 250_000, tzinfo=UTC)
