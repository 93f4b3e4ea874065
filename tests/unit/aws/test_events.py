"""What is taken from events: which request to look at, and which policies conflict."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given

from bot.aws.events import FAILED, SENT, UnreadableEvent, parse_event, sent_at
from bot.ports.aws import Hint
from tests.unit.aws.samples import KEY, UNHURRIED, event, mangled


@pytest.mark.parametrize("kind", ["Approver Access Request Status Update", "Requester Access Request Status Update"])
def test_an_event_names_its_request(kind: str) -> None:
    """Account, Region and OpsItem id are all that counts; the status in it is not believed."""
    assert parse_event(json.dumps(event(kind, AccessRequestStatus="Approved")), "r") == Hint("r", KEY, kind)


def test_a_failed_request_names_the_policies_that_conflict() -> None:
    """Nothing else in AWS tells them."""
    hint = parse_event(json.dumps(event(FAILED, ApplicablePolicies=["prod", "", 7, "dev"])), "r")
    assert hint == Hint("r", KEY, FAILED, ("prod", "dev"))


def test_only_a_failed_request_has_conflicting_policies() -> None:
    """A member of that name in another event says nothing."""
    assert parse_event(json.dumps(event(ApplicablePolicies=["prod"])), "r").conflicting_policies == ()


def test_the_request_may_be_named_as_a_resource() -> None:
    """An event without the id in its detail still names the OpsItem by ARN."""
    envelope = event(FAILED, OpsItemId=None)
    envelope["resources"] = [f"arn:aws:ssm:ap-northeast-1:111122223333:opsitem/{KEY.ops_item_id}"]
    assert parse_event(json.dumps(envelope), "r").key == KEY


@pytest.mark.parametrize(
    "changed", [{"detail-type": "EC2 Instance State-change Notification"}, {"source": "my.own.application"}]
)
def test_an_event_of_another_kind_is_about_no_request(changed: dict[str, Any]) -> None:
    """It is understood, so that it can be logged and deleted."""
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
def test_what_names_no_request_is_refused(body: object) -> None:
    """A message that is no event, or an event of ours without its request, raises the one declared error."""
    with pytest.raises(UnreadableEvent):
        parse_event(body, "r")


@UNHURRIED
@given(mangled(event))
def test_mangled_events_never_surprise(document: object) -> None:
    """Whatever is fed: a hint, or the one declared error."""
    try:
        hint = parse_event(json.dumps(document, default=str), "r")
    except UnreadableEvent:
        return
    f"{hint.event}{hint.conflicting_policies}".encode()


@pytest.mark.parametrize(
    "told", [None, "", 7, {}, {SENT: None}, {SENT: "yesterday"}, {SENT: "1" * 400}, {SENT: "１" * 13}]
)
def test_a_message_may_not_tell_when_it_was_sent(told: object) -> None:
    """Whatever stands there, nothing is measured and nothing is raised."""
    assert sent_at(told) is None


def test_a_message_tells_when_it_was_sent() -> None:
    """In milliseconds since 1970, as digits."""
    assert sent_at({SENT: "1775035740250"}) == datetime(2026, 4, 1, 9, 29, 0, 250_000, tzinfo=UTC)
