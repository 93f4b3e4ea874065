"""Tests for bot.teams.wire.errors: the Connector's responses as errors."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.ports.teams import ChatProblem, ChatRefused, ChatThrottled, ChatUnavailable
from bot.teams.wire.errors import ASSUMED_FOR_UPDATES, ConnectorError, classify, retry_after

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def judged(status: int, body: str = "", *, creates: bool = True, **headers: str) -> ConnectorError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return classify(status, named, body.encode(errors="replace"), creates=creates, now=NOW)


def coded(code: str) -> str:
    return f'{{"error": {{"code": "{code}", "message": "…"}}}}'


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (401, "", ChatProblem.UNAUTHORIZED),
        (401, coded("BotNotRegistered"), ChatProblem.UNAUTHORIZED),
        (403, "", ChatProblem.FORBIDDEN),
        (403, coded("NotEnoughPermissions"), ChatProblem.FORBIDDEN),
        (403, coded("BotNotInConversationRoster"), ChatProblem.NOT_INSTALLED),
        (403, coded("BotDisabledByAdmin"), ChatProblem.BLOCKED),
        (403, coded("ConversationBlockedByUser"), ChatProblem.BLOCKED),
        (403, coded("MessageWritesBlocked"), ChatProblem.WRITES_BLOCKED),
        (
            403,
            '{"errorCode": 209, "message": "{\\"subCode\\": \\"MessageWritesBlocked\\"}"}',
            ChatProblem.WRITES_BLOCKED,
        ),
        (403, '{"errorCode": 209, "message": "no JSON"}', ChatProblem.WRITES_BLOCKED),
        (403, '{"errorCode": 1, "message": "{\\"subCode\\": \\"MessageWritesBlocked\\"}"}', ChatProblem.WRITES_BLOCKED),
        (404, "", ChatProblem.CONVERSATION_NOT_FOUND),
        (404, coded("ConversationNotFound"), ChatProblem.CONVERSATION_NOT_FOUND),
        (404, coded("ActivityNotFoundInConversation"), ChatProblem.ACTIVITY_NOT_FOUND),
        (404, coded("MemberNotFoundInConversation"), ChatProblem.UNKNOWN_PERSON),
        (413, "<html>", ChatProblem.TOO_LARGE),
        (413, coded("MessageSizeTooBig"), ChatProblem.TOO_LARGE),
        (400, coded("BadSyntax"), ChatProblem.BAD_REQUEST),
        (409, "", ChatProblem.BAD_REQUEST),
        (302, "", ChatProblem.BAD_REQUEST),
        (500, coded("UserNotFound"), ChatProblem.UNKNOWN_PERSON),
        (403, coded("BotDisabledByUser"), ChatProblem.BLOCKED),
    ],
)
def test_each_permanent_refusal_of_teams_has_its_chat_problem(status: int, body: str, problem: ChatProblem) -> None:
    """Each documented or assumed code, in each known form, gives its ChatProblem."""
    error = judged(status, body)

    assert isinstance(error, ChatRefused)
    assert (error.problem, error.status) == (problem, status)


@pytest.mark.parametrize(("status", "code"), ASSUMED_FOR_UPDATES)
def test_refused_update_of_a_deleted_message_has_the_problem_activity_not_found(status: int, code: str) -> None:
    """The same answer to a post has another problem, because a post does not refer to a message."""
    body = coded(code).encode() if code else b""
    update = classify(status, {}, body, creates=False, updates=True, now=NOW)
    assert isinstance(update, ChatRefused)
    assert update.problem is ChatProblem.ACTIVITY_NOT_FOUND
    post = judged(status, body.decode())
    assert isinstance(post, ChatRefused)
    assert post.problem is not ChatProblem.ACTIVITY_NOT_FOUND


def test_service_error_with_status_500_becomes_chat_unavailable() -> None:
    """With status 403, the same code would mean that the message of an update was deleted."""
    error = classify(500, {}, coded("ServiceError").encode(), creates=False, updates=True, now=NOW)
    assert isinstance(error, ChatUnavailable)


@pytest.mark.parametrize(
    ("status", "ambiguous"),
    [(408, True), (412, False), (425, False), (500, True), (502, True), (503, False), (504, True), (520, True)],
)
def test_ambiguity_of_a_lost_post_follows_from_its_status(status: int, ambiguous: bool) -> None:
    """A post is ambiguous unless its status guarantees that Teams did not accept it. An update never is."""
    error, repeated = judged(status), judged(status, creates=False)

    assert isinstance(error, ChatUnavailable)
    assert isinstance(repeated, ChatUnavailable)
    assert (error.ambiguous, repeated.ambiguous) == (ambiguous, False)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("2", 2.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        ("999999", 60.0),
        ("nan", 1.0),
        ("soon", 1.0),
        ("", 1.0),
        ("inf", 60.0),
        ("-inf", 0.0),
        ("9" * 5000, 60.0),
        ("5, 10", 1.0),
        ("0x10", 1.0),
        ("P1D", 1.0),
        ("2026-04-01T00:01:00Z", 1.0),
        ("Wed, 21 Oct 1999 07:28:00 GMT", 0.0),
        ("Thu, 01 Jan 9999 23:59:59 -2359", 60.0),
        ("Thu, 01 Jan 99999999999999999999 00:00:00 GMT", 1.0),
        ("Thu, 01 Jan 2026 00:00:00 +99999999999999999999", 1.0),
        ("Thu, 99 Jan 2026 99:99:99 GMT", 1.0),
    ],
)
def test_error_for_status_429_has_the_seconds_to_wait(header: str, seconds: float) -> None:
    """The seconds come from `Retry-After`, a minute at most. Without a usable header it is one second."""
    error = judged(429, Retry_After=header)

    assert isinstance(error, ChatThrottled)
    assert error.retry_after == seconds


def test_retry_after_may_be_a_date() -> None:
    """HTTP also allows a date in `Retry-After`. The result is the number of seconds until that date."""
    assert retry_after(format_datetime(NOW + timedelta(seconds=30), usegmt=True), now=NOW) == 30.0


@given(status=st.integers(300, 599), body=st.binary(max_size=200), header=st.text(max_size=20))
def test_any_error_response_becomes_one_of_the_three_declared_errors(status: int, body: bytes, header: str) -> None:
    """The status is from 300 to 599, body and header are arbitrary. The error has a code of at most 64 characters."""
    error = classify(status, {"Retry-After": header}, body, creates=True, now=NOW)

    assert isinstance(error, ChatThrottled | ChatUnavailable | ChatRefused)
    assert len(error.error_code) <= 64
