"""Tests for bot.domain.shown.surfaces: which cards, notes and messages Teams must show, and which are outdated."""

from dataclasses import replace
from datetime import datetime

import pytest

from bot.domain.configuration import Configuration
from bot.domain.decision import DecisionState, Outcome
from bot.domain.identity import IdentityRules, Requester
from bot.domain.record import Record
from bot.domain.request import AccessRequest, LevelState, Status, Verdict, Vote, Withdrawal
from bot.domain.routing import Route
from bot.domain.shown.card import card_view, requester_name, with_mentions
from bot.domain.shown.decided import decision_lines
from bot.domain.shown.direct import (
    IDENTIFYING_SPAN,
    LOOKUP_SPAN,
    direct_kind,
    direct_view,
    may_still_be_identified,
)
from bot.domain.shown.replies.request_lines import request_line
from bot.domain.shown.surfaces import desired, next_change
from bot.domain.shown.views import Banner, CardView, DecidedElsewhere, DirectKind, NoteView
from bot.domain.shown.wanted import Wanted
from bot.domain.surface import DeliveryState, Surface, SurfaceKind
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON
from tests.unit.domain.sample import APPROVALS, KEY, NOW, SECOND, TARO_REQUESTER, decision, level, request

LEADS = replace(APPROVALS, name="leads", conversation="19:leads@thread.tacv2")
HOME = replace(APPROVALS, fallback=False)
SESSIONS = "arn:aws:sts::111122223333:assumed-role/NodeAccessApprover"
CONFIGURATION = Configuration((HOME, LEADS), IdentityRules())
ROW = Record(
    KEY,
    NOW,
    request=request(),
    requester=TARO_REQUESTER,
    route=Route(HOME.name, HOME.conversation, settled=True),
    surfaces=(Surface("card:approvals", SurfaceKind.CARD, DeliveryState.DELIVERED, "19:x", "1"),),
)
TARO = TARO_PERSON.user
UNANSWERED = replace(decision(HANAKO, state=DecisionState.RELEASED), announced=True, outcome=Outcome.NO_ANSWER)


def wanted(record: Record) -> dict[str, Wanted]:
    """Return the surfaces that Teams must show, by name."""
    return {want.name: want for want in desired(record, CONFIGURATION, NOW)}


@pytest.mark.parametrize(("status", "overtaken"), [(Status.PENDING, False), (Status.CANCELLED, True)])
def test_note_that_advises_to_click_again_is_skipped_after_the_request_ended(status: Status, overtaken: bool) -> None:
    """The note on an unanswered decision is due while people can click again, and overtaken after the request ended."""
    row = replace(ROW, decisions=(UNANSWERED,), request=request(status=status))
    assert wanted(row)[f"note:{UNANSWERED.id}"].overtaken is overtaken


@pytest.mark.parametrize(
    ("outcome", "why"), [(Outcome.AWS_DENIED, "same_role_denied"), (Outcome.AWS_REFUSED, "same_role")]
)
def test_note_on_a_refused_second_vote_of_a_role_names_that_cause(outcome: Outcome, why: str) -> None:
    """It does not send people to an administrator, or to the button again, as other refusals of AWS do."""
    role = "arn:aws:iam::111122223333:role/NodeAccessApprover"
    first = replace(decision(HANAKO, state=DecisionState.CONFIRMED), role=role)
    second = replace(decision(ICHIRO, state=DecisionState.REFUSED), role=role, announced=True, outcome=outcome)
    row = replace(ROW, decisions=(first, second), request=request(level(required=2, approvals=None)))
    note = wanted(row)[f"note:{second.id}"].view
    assert isinstance(note, NoteView)
    assert (note.detail, note.action) == (why, Verdict.APPROVE)


def test_started_notes_that_are_no_longer_desired_are_marked_as_overtaken() -> None:
    """Notes that are still desired, and surfaces of other kinds, are not marked."""
    begun = Surface("note:approved", SurfaceKind.NOTE, DeliveryState.WAITING)
    kept = Surface("note:revoked", SurfaceKind.NOTE, DeliveryState.WAITING)
    row = replace(ROW.with_surface(begun).with_surface(kept), request=request(status=Status.REVOKED))
    assert {name for name, want in wanted(row).items() if want.overtaken} == {"note:approved"}
    assert [name for name in wanted(row) if name.startswith("note:")] == ["note:approved", "note:revoked"]


def test_notes_of_a_channel_share_a_delivery_line_and_each_card_has_a_separate_one() -> None:
    """Messages of one line are delivered in order. The requester's message, which is updated, has its own line."""
    row = ROW.with_surface(Surface("card:leads", SurfaceKind.CARD, DeliveryState.DELIVERED, "19:y", "2"))
    row = replace(row, request=request(status=Status.CANCELLED))
    lines = {name: want.line for name, want in wanted(row).items()}
    assert lines == {
        "card:approvals": "card:approvals",
        "card:leads": "card:leads",
        "note:cancelled": "note approvals",
        f"living:{TARO}": f"living:{TARO}",
    }


def test_only_cards_are_shown_after_the_deciding_channel_was_removed() -> None:
    """Notes and direct messages say how the channel decided; a card in another channel is still updated."""
    row = replace(ROW, request=request(status=Status.CANCELLED), route=Route("gone", "19:gone", settled=True))
    row = row.with_surface(Surface("card:leads", SurfaceKind.CARD, DeliveryState.DELIVERED, "19:y", "2"))
    assert {want.kind for want in wanted(row).values()} == {SurfaceKind.CARD}
    assert "card:leads" in wanted(row)


def test_row_without_facts_has_no_surfaces_and_no_view() -> None:
    """Nothing is shown before the first read of AWS. To make a view raises a ValueError that names the request."""
    row = replace(ROW, request=None)
    assert wanted(row) == {}
    with pytest.raises(ValueError, match=KEY.ops_item_id):
        card_view(row, HOME, CONFIGURATION, NOW)
    with pytest.raises(ValueError, match=KEY.ops_item_id):
        direct_view(row, DirectKind.APPROVED, CONFIGURATION)
    with pytest.raises(ValueError, match=KEY.ops_item_id):
        request_line(row, NOW, own=False)
    assert requester_name(replace(row, requester=None)) == ""


@pytest.mark.parametrize(
    ("by_aws", "accepted", "shown"), [(2, False, 2), (0, True, 0), (None, True, 1), (None, False, None)]
)
def test_card_counts_approvals_as_aws_does_or_as_the_bot_if_votes_are_unreadable(
    by_aws: int | None, accepted: bool, shown: int | None
) -> None:
    """AWS's count is the truth. An unknown count is not shown as 0."""
    made = (decision(HANAKO, state=DecisionState.CONFIRMED),) if accepted else ()
    row = replace(ROW, decisions=made, request=request(level(required=3, approvals=by_aws)))
    line = card_view(row, HOME, CONFIGURATION, NOW).level
    assert line is not None
    assert line.approvals == shown


def test_decided_card_mentions_no_one() -> None:
    """Mentions ask people to decide."""
    waiting = card_view(ROW, HOME, CONFIGURATION, NOW)
    assert [each.name for each in with_mentions(waiting, [HANAKO]).mentions] == [HANAKO.name]
    decided = card_view(replace(ROW, request=request(status=Status.CANCELLED)), HOME, CONFIGURATION, NOW)
    assert with_mentions(decided, [HANAKO], [HANAKO]) == decided


def test_line_of_a_decision_has_the_moment_at_which_it_was_settled() -> None:
    """The decision may have waited for its turn. Without such a moment, the line has that of the click."""
    for settled_at, shown in ((NOW + 9 * SECOND, NOW + 9 * SECOND), (None, NOW)):
        made = replace(decision(HANAKO, state=DecisionState.CONFIRMED), settled_at=settled_at)
        assert [each.at for each in decision_lines(replace(ROW, decisions=(made,)))] == [shown]


def test_vote_without_an_answer_that_aws_shows_is_listed_beside_another_persons_vote() -> None:
    """Both votes are listed as made in Teams, by their people."""
    votes = tuple(Vote(f"{SESSIONS}/{each.upn}", Verdict.APPROVE) for each in (HANAKO, ICHIRO))
    row = replace(ROW, request=request(replace(level(required=3), votes=votes)))
    row = row.with_decision(decision(HANAKO, state=DecisionState.CONFIRMED))
    row = row.with_decision(decision(ICHIRO, state=DecisionState.UNKNOWN))
    assert {(each.who, each.in_teams) for each in decision_lines(row)} == {(HANAKO.name, True), (ICHIRO.name, True)}


def _views(record: Record) -> dict[str, CardView]:
    return {name: want.view for name, want in wanted(record).items() if isinstance(want.view, CardView)}


def test_card_in_the_fallback_channel_names_the_deciding_channel_and_has_no_buttons() -> None:
    """While Teams refuses the card of the deciding channel, the fallback's card also says why.

    After the request ended, it names no channel.
    """
    card = replace(ROW.surfaces[0], problem="not_installed", delivery=DeliveryState.WAITING)
    refused = replace(ROW, surfaces=(card,))
    unreachable = _views(refused)["card:leads"]
    assert (unreachable.no_buttons, unreachable.home, unreachable.home_problem) == (
        DecidedElsewhere.UNREACHABLE,
        "approvals",
        "not_installed",
    )
    back = ROW.with_surface(Surface("card:leads", SurfaceKind.CARD, DeliveryState.DELIVERED, "19:y", "2"))
    elsewhere = _views(back)["card:leads"]
    assert (elsewhere.no_buttons, elsewhere.home, elsewhere.home_problem) == (
        DecidedElsewhere.ELSEWHERE,
        "approvals",
        None,
    )
    ended = _views(replace(back, request=request(status=Status.CANCELLED)))["card:leads"]
    assert (ended.no_buttons, ended.home, ended.home_problem) == (None, None, None)
    assert not any(view.buttons for view in (unreachable, elsewhere, ended))
    at_home = _views(back)["card:approvals"]
    assert (at_home.buttons, at_home.home) == (True, None)


GRANTED = replace(
    ROW,
    request=request(
        level("Level1", state=LevelState.APPROVED), status=Status.APPROVED, access_until=NOW + 3600 * SECOND
    ),
)


def _offered(
    record: Record, *, now: datetime = NOW, configuration: Configuration = CONFIGURATION
) -> dict[str, tuple[bool, str]]:
    """Return for each card whether it has the button to revoke, and for which step."""
    views = {want.name: want.view for want in desired(record, configuration, now)}
    return {name: (view.revoke, view.step) for name, view in views.items() if isinstance(view, CardView)}


def test_revoke_button_is_on_the_card_of_the_deciding_channel_only() -> None:
    """The card in the fallback channel has no such button. The button's step is the level that settled the request."""
    both = GRANTED.with_surface(Surface("card:leads", SurfaceKind.CARD, DeliveryState.DELIVERED, "19:y", "2"))
    assert _offered(both) == {"card:approvals": (True, "Level1"), "card:leads": (False, "")}


@pytest.mark.parametrize(
    ("why", "changed"),
    [
        ("unsettled", {"route": Route(HOME.name, HOME.conversation, settled=False)}),
        ("unidentified", {"requester": replace(TARO_REQUESTER, identified=False)}),
        ("no levels", {"request": replace(GRANTED.request or request(), levels=())}),
        ("window unknown", {"request": replace(GRANTED.request or request(), access_until=None)}),
        ("revoked", {"request": replace(GRANTED.request or request(), status=Status.REVOKED)}),
    ],
)
def test_card_has_no_revoke_button_if_every_click_on_it_would_be_refused(why: str, changed: dict[str, object]) -> None:
    """The parameters name the causes."""
    row = replace(GRANTED, **changed)  # type: ignore[arg-type]  # fields of the row
    assert _offered(row) == {"card:approvals": (False, "")}, why


@pytest.mark.parametrize("asked", [None, request(status=Status.UNKNOWN)])
def test_requester_gets_no_message_about_a_request_in_an_unknown_state(asked: AccessRequest | None) -> None:
    """Without facts, or with an unknown status, no direct message is due."""
    row = replace(ROW, request=asked)
    assert direct_kind(row, CONFIGURATION, NOW) is None
    assert not any(name.startswith("dm:") for name in wanted(row))


def test_revoke_button_disappears_at_the_end_of_the_access_window() -> None:
    """`next_change` returns exactly that time, so that the row is reconciled then, and the time of the reminder."""
    soon = next_change(GRANTED, CONFIGURATION, NOW)
    assert soon == NOW + 3000 * SECOND
    end = next_change(GRANTED, CONFIGURATION, soon)
    assert end == NOW + 3600 * SECOND
    assert _offered(GRANTED, now=end - SECOND) == {"card:approvals": (True, "Level1")}
    assert _offered(GRANTED, now=end) == {"card:approvals": (False, "")}


def test_card_has_no_revoke_button_while_a_revocation_is_live() -> None:
    """After the click was answered, the card shows who clicked instead of the button. A live vote does not hide it."""
    pressed = replace(decision(HANAKO, state=DecisionState.SENT), verdict=Withdrawal.REVOKE, announced=True)
    row = GRANTED.with_decision(pressed)
    (view,) = _views(row).values()
    assert (view.revoke, view.banner) == (False, Banner.APPROVED)
    assert view.applying is not None
    assert view.applying.who == HANAKO.name
    vote = replace(pressed, verdict=Verdict.APPROVE)
    assert _offered(GRANTED.with_decision(vote)) == {"card:approvals": (True, "Level1")}


NOT_READ = replace(TARO_REQUESTER, identified=False, person=None, sought_everywhere=False)
NOT_FOUND = replace(NOT_READ, sought_everywhere=True)
ENDED = request(level(state=LevelState.REJECTED), status=Status.REJECTED)


@pytest.mark.parametrize(
    ("asked", "requester", "observed", "possible"),
    [
        (None, NOT_READ, NOW, False),
        (request(), NOT_READ, NOW, True),
        (request(), NOT_FOUND, NOW, True),
        (request(), None, NOW, True),
        (request(), TARO_REQUESTER, NOW, False),
        (request(replica_of=KEY), NOT_READ, NOW, False),
        (request(status=Status.UNKNOWN), NOT_READ, NOW, False),
        (ENDED, NOT_READ, NOW - LOOKUP_SPAN + SECOND, True),
        (ENDED, NOT_READ, NOW - LOOKUP_SPAN, False),
        (ENDED, NOT_FOUND, NOW - IDENTIFYING_SPAN + SECOND, True),
        (ENDED, NOT_FOUND, NOW - IDENTIFYING_SPAN, False),
        (ENDED, NOT_READ, None, False),
        (replace(ENDED, modified_at=NOW - LOOKUP_SPAN), NOT_READ, NOW, False),
        (replace(ENDED, modified_at=NOW), NOT_READ, NOW - LOOKUP_SPAN, True),
    ],
)
def test_requester_may_be_identified_for_a_limited_time_after_the_request_ended(
    asked: AccessRequest | None, requester: Requester | None, observed: datetime | None, possible: bool
) -> None:
    """The time of the end is that of the last change, or of the last read if AWS does not say it."""
    row = replace(ROW, request=asked, requester=requester, observed_at=observed)
    assert may_still_be_identified(row, NOW) is possible
