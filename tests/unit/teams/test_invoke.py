"""Tests for bot.teams.wire.invoke: every valid form of a click is read, and nothing that a forged card adds."""

import copy
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.domain.shown.views import Notice, NoticeCode
from bot.service.clicks.click import Answer, Click, Verb
from bot.teams.wire.activity import Inbound, NotAnActivity, parse
from bot.teams.wire.invoke import (
    LONGEST_COMMENT,
    LONGEST_ID,
    LONGEST_REQUEST,
    LONGEST_STEP,
    NotAClick,
    Rejection,
    click_response,
    is_submit,
    read_click,
    rejection_response,
)
from tests.fakes import activities
from tests.fakes.activities import Place
from tests.fakes.people import FOREIGN_TENANT_ID, FOREIGNER, GUEST, HANAKO, ICHIRO, TENANT_ID

Json = dict[str, Any]
THREAD = Place(id="19:approvers@thread.tacv2;messageid=1795456557005", kind="channel", team="19:team@thread.tacv2")
CHAT = Place(id="a:1-personal-hanako", kind="personal")
KEY = "111122223333/ap-northeast-1/oi-0123456789ab"
DATA = {"request": KEY, "step": "Level1"}
COMMON: Json = {"sender": HANAKO, "place": THREAD, "service_url": "https://smba.trafficmanager.net/amer/"}


def _inbound(body: Json) -> Inbound:
    return parse(json.dumps(body).encode())


def _invoke(data: Json = DATA, verb: str = "approve", **fields: Any) -> Inbound:
    return _inbound(activities.invoke(verb, data, **{**COMMON, **fields}))


def _valued(value: Any) -> Inbound:
    return _inbound({**activities.invoke("approve", DATA, **COMMON), "value": value})


def _submitted(value: Json, **fields: Any) -> Inbound:
    return _inbound(activities.submitted(value, **{**COMMON, **fields}))


def _rejection(inbound: Inbound) -> Rejection:
    with pytest.raises(NotAClick) as caught:
        read_click(inbound)
    return caught.value.reason


# --- the forms of a click


def test_an_action_execute_becomes_a_click() -> None:
    """Request, step, verb and comment come from the card. All other facts come from the activity."""
    click = read_click(_invoke({**DATA, "comment": "確認しました"}, trigger="manual"))

    assert click == Click(
        person=click.person,
        conversation=THREAD.id,
        verb=Verb.APPROVE,
        request=KEY,
        step="Level1",
        comment="確認しました",
        activity_id="1795456557005",
        locale="en",
        timezone="UTC",
    )
    assert (click.person.object_id, click.person.tenant_id) == (HANAKO.object_id, TENANT_ID)
    assert (click.person.name, click.person.teams_id, click.person.guest) == (HANAKO.name, HANAKO.id, False)


@pytest.mark.parametrize(
    "value",
    [
        {**DATA, "verb": "reject", "comment": "no"},
        {"action": {"type": "Action.Submit", "data": {**DATA, "verb": "reject", "comment": "no"}}},
        {"action": {"type": "Action.Execute", "verb": "reject", "data": {**DATA, "comment": "no"}}},
        {"action": {"verb": "reject", "data": {**DATA, "verb": "reject", "comment": "no"}}},
    ],
)
def test_every_form_of_card_data_gives_the_same_click_as_message_and_as_invoke(value: Json) -> None:
    """Old clients send a message, new ones an invoke. Both work with and without an action object around the data."""
    clicks = [read_click(_submitted(value)), read_click(_valued(value))]

    assert [(each.verb, each.request, each.step, each.comment) for each in clicks] == [
        (Verb.REJECT, KEY, "Level1", "no")
    ] * 2


@pytest.mark.parametrize("verb", list(Verb))
def test_click_is_read_with_every_verb(verb: Verb) -> None:
    """Whether the verb is allowed for the request is decided later, by the click handler."""
    assert read_click(_invoke(verb=verb.value)).verb is verb


def test_comment_of_an_approval_has_a_field_of_its_own() -> None:
    """A card has a field for each button, and a click the comment of the one that is open."""
    written = [{"approval_comment": "ok"}, {"comment": "", "approval_comment": "ok"}, {"comment": "ok"}]
    assert [read_click(_invoke({**DATA, **each})).comment for each in written] == ["ok"] * 3


def test_a_missing_step_and_comment_are_empty() -> None:
    """A refresh has neither a step nor a comment, and an empty field may arrive as null."""
    click = read_click(_invoke({"request": KEY, "comment": None}, "refresh"))

    assert (click.step, click.comment) == ("", "")


def test_a_click_has_the_id_of_its_card() -> None:
    """The card's id is in `replyToId`, also in a thread. Without this member the click has no card id."""
    assert read_click(_invoke(reply_to="77")).activity_id == "77"
    assert read_click(_submitted({**DATA, "verb": "approve"})).activity_id is None


def test_only_a_message_with_a_value_and_without_text_is_a_submit() -> None:
    """A message with text is a command, even if it also has a value."""
    words = activities.message("help", sender=HANAKO, place=CHAT, service_url="https://example.com/", value={"a": 1})

    assert is_submit(_submitted({}))
    assert not is_submit(_inbound(words))
    assert not is_submit(_inbound({**words, "value": None}))


@pytest.mark.parametrize("field", ["replyToId", "conversation"])
def test_a_click_with_an_overlong_card_or_conversation_id_is_refused(field: str) -> None:
    """The row stores these ids, and a very long one would leave no room for decisions."""
    longest = "19:approvers@thread.tacv2;messageid=".ljust(LONGEST_ID, "9")
    bodies = [activities.invoke("approve", DATA, **COMMON) for _ in range(2)]
    for body, text in zip(bodies, [longest, longest + "9"], strict=True):
        body[field] = {**body["conversation"], "id": text} if field == "conversation" else text

    assert longest in {read_click(_inbound(bodies[0])).conversation, read_click(_inbound(bodies[0])).activity_id}
    assert _rejection(_inbound(bodies[1])) is Rejection.PLACE


# --- the person who clicks


def test_the_person_of_a_click_is_never_taken_from_the_card() -> None:
    """Another person, tenant or conversation in the card's data changes nothing."""
    forged = {
        **DATA,
        "from": {"aadObjectId": ICHIRO.object_id},
        "person": ICHIRO.object_id,
        "aadObjectId": ICHIRO.object_id,
        "tenant": "t",
        "conversation": "19:other@thread.tacv2",
        "activity_id": "1",
        "role": "approver",
    }
    assert read_click(_invoke(forged)) == read_click(_invoke())


def test_a_click_with_ids_in_upper_case_has_the_same_person() -> None:
    """Teams may change the case of an id, but the id still means the same person."""
    body = activities.invoke("approve", DATA, **COMMON)
    body["from"]["aadObjectId"] = HANAKO.object_id.upper()
    body["conversation"]["tenantId"] = body["channelData"]["tenant"]["id"] = TENANT_ID.upper()

    assert read_click(_inbound(body)).person == read_click(_invoke()).person


def test_a_click_of_a_person_from_a_foreign_tenant_has_that_tenant() -> None:
    """In a shared channel the sender's own tenant is used, not the channel's."""
    body = activities.invoke("approve", DATA, **{**COMMON, "sender": FOREIGNER})
    body["from"]["tenantId"] = FOREIGN_TENANT_ID

    assert read_click(_inbound(body)).person.tenant_id == FOREIGN_TENANT_ID


@pytest.mark.parametrize("field", ["userRole", "role"])
@pytest.mark.parametrize("role", ["guest", "Guest", "anonymous"])
def test_a_sender_with_a_guest_role_is_a_guest(field: str, role: str) -> None:
    """The activity of a guest or an anonymous person has this role beside the id."""
    body = activities.invoke("approve", DATA, **{**COMMON, "sender": GUEST})
    body["from"][field] = role

    assert read_click(_inbound(body)).person.guest


def test_a_sender_without_an_object_id_cannot_click() -> None:
    """Such a sender has no Microsoft Entra account, so their permission cannot be checked."""
    body = activities.invoke("approve", DATA, **COMMON)
    del body["from"]["aadObjectId"]

    assert _rejection(_inbound(body)) is Rejection.PERSON


# --- invalid clicks


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Rejection.VALUE),
        ("approve", Rejection.VALUE),
        ([], Rejection.VALUE),
        ({"action": None}, Rejection.VALUE),
        ({"action": "approve"}, Rejection.VALUE),
        ({"action": {"type": "Action.OpenUrl", "verb": "approve", "data": DATA}}, Rejection.VALUE),
        ({"action": {"type": ["Action.Execute"], "verb": "approve", "data": DATA}}, Rejection.VALUE),
        ({"action": {"verb": "approve", "data": [DATA]}}, Rejection.VALUE),
        ({"action": {"verb": "approve", "data": None}}, Rejection.VALUE),
        ({}, Rejection.VERB),
        (DATA, Rejection.VERB),
        ({**DATA, "verb": "Approve"}, Rejection.VERB),
        ({**DATA, "verb": "deny"}, Rejection.VERB),
        ({**DATA, "verb": 1}, Rejection.VERB),
        ({**DATA, "verb": ["approve"]}, Rejection.VERB),
        ({"action": {"verb": "approve", "data": {**DATA, "verb": "reject"}}}, Rejection.VERB),
        ({"verb": "approve", "request": 1}, Rejection.REQUEST),
        ({"verb": "approve", "request": None}, Rejection.REQUEST),
        ({"verb": "approve", "request": "x" * (LONGEST_REQUEST + 1)}, Rejection.REQUEST),
        ({**DATA, "verb": "approve", "step": {}}, Rejection.STEP),
        ({**DATA, "verb": "approve", "step": "x" * (LONGEST_STEP + 1)}, Rejection.STEP),
        ({**DATA, "verb": "approve", "comment": ["x"]}, Rejection.COMMENT),
    ],
)
def test_invalid_clicks_are_rejected_with_a_reason(value: Any, reason: Rejection) -> None:
    """Each value raises NotAClick with its reason."""
    assert _rejection(_valued(value)) is reason


@pytest.mark.parametrize("verb", [each for each in Verb if each is not Verb.REFRESH])
def test_an_automatic_invoke_may_only_refresh_the_card(verb: Verb) -> None:
    """Teams sends such an invoke without a click of a person, so it must not decide anything."""
    assert _rejection(_invoke(verb=verb.value, trigger="automatic")) is Rejection.AUTOMATIC
    assert read_click(_invoke(verb="refresh", trigger="automatic")).verb is Verb.REFRESH
    assert read_click(_invoke(verb=verb.value, trigger="manual")).verb is verb


def test_an_overlong_comment_of_a_click_is_cut() -> None:
    """The card's field does not allow such a comment, so it is forged. LONGEST_COMMENT characters are kept."""
    assert len(read_click(_invoke({**DATA, "comment": "あ" * 100_000})).comment) == LONGEST_COMMENT


# --- arbitrary input

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_ODD = _JSON | st.sampled_from([*Verb, "Action.Submit", "Action.Execute", "automatic", KEY, "x" * 200])
_DATA = st.fixed_dictionaries({}, optional=dict.fromkeys(("request", "step", "verb", "comment", "action"), _ODD))
_ACTION = st.fixed_dictionaries({}, optional={"type": _ODD, "verb": _ODD, "data": _DATA | _JSON})
_VALUE = _JSON | _DATA | st.fixed_dictionaries({"action": _ACTION | _JSON}, optional={"trigger": _ODD})


@given(value=_VALUE, kind=st.sampled_from(["invoke", "message"]), account=st.none() | _JSON)
@example(value={"action": {"type": {}, "verb": "approve", "data": DATA}}, kind="invoke", account=None)
def test_any_body_is_a_click_or_raises_a_declared_error(value: Any, kind: str, account: Any) -> None:
    """Every click has texts of limited length and a person with an object id."""
    body = copy.deepcopy(activities.invoke("approve", DATA, **COMMON)) | {"type": kind, "value": value}
    if account is not None:
        body["from"] = {**body["from"], "role": account, "userRole": account, "tenantId": account}
    try:
        click = read_click(_inbound(body))
    except (NotAClick, NotAnActivity):
        return

    assert click.person.object_id == HANAKO.object_id
    assert click.conversation == THREAD.id
    assert isinstance(click.verb, Verb)
    assert all(isinstance(text, str) for text in (click.request, click.step, click.comment))
    assert (len(click.request) <= LONGEST_REQUEST, len(click.step) <= LONGEST_STEP) == (True, True)
    assert len(click.comment) <= LONGEST_COMMENT


# --- responses


def test_an_answer_with_a_card_becomes_a_response_of_the_type_card() -> None:
    """The response has the protocol's type for a card, and a status 200 inside the body."""
    answer = Answer({"type": "AdaptiveCard"}, None, "")

    assert click_response(answer) == {
        "statusCode": 200,
        "type": "application/vnd.microsoft.card.adaptive",
        "value": {"type": "AdaptiveCard"},
    }


def test_an_answer_without_a_card_becomes_a_response_of_the_type_message() -> None:
    """The response has the protocol's type for text, and the text of the notice."""
    answer = Answer(None, Notice(NoticeCode.NOT_FOUND), "There is no such request here.")

    assert click_response(answer) == {
        "statusCode": 200,
        "type": "application/vnd.microsoft.activity.message",
        "value": "There is no such request here.",
    }


def test_the_response_to_an_invalid_click_is_an_error_body() -> None:
    """The body has the status 400, the protocol's type for errors, a code and a message."""
    body = rejection_response(NotAClick(Rejection.VERB))

    assert (body["statusCode"], body["type"]) == (400, "application/vnd.microsoft.error")
    assert set(body["value"]) == {"code", "message"}
