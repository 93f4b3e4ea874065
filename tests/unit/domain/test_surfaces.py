"""bot.domain.shown.surfaces: what Teams must show, and what it must not any more."""

from dataclasses import replace
from datetime import datetime

import pytest

from bot.domain.configuration import Configuration
from bot.domain.decision import DecisionState, Outcome
from bot.domain.identity import IdentityRules
from bot.domain.record import DeliveryState, Record, Surface, SurfaceKind
from bot.domain.request import AccessRequest, LevelState, Status, Verdict, Withdrawal
from bot.domain.routing import Route
from bot.domain.shown.surfaces import Wanted, desired, direct_kind, next_change
from bot.domain.shown.views import Banner, CardView, DecidedElsewhere
from tests.fakes.chat import HANAKO
from tests.unit.domain.sample import APPROVALS, KEY, NOW, SECOND, TARO_REQUESTER, decision, level, request

LEADS = replace(APPROVALS, name="leads", conversation="19:leads@thread.tacv2")
HOME = replace(APPROVALS, fallback=False)
CONFIGURATION = Configuration((HOME, LEADS), IdentityRules())
ROW = Record(
    KEY,
    NOW,
    request=request(),
    requester=TARO_REQUESTER,
    route=Route(HOME.name, HOME.conversation, settled=True),
    surfaces=(Surface("card:approvals", SurfaceKind.CARD, DeliveryState.DELIVERED, "19:x", "1"),),
)
UNANSWERED = replace(decision(HANAKO, state=DecisionState.RELEASED), announced=True, outcome=Outcome.NO_ANSWER)


def wanted(record: Record) -> dict[str, Wanted]:
    """Return what must be shown, by name."""
    return {want.name: want for want in desired(record, CONFIGURATION, NOW)}


@pytest.mark.parametrize(("status", "overtaken"), [(Status.PENDING, False), (Status.CANCELLED, True)])
def test_nobody_is_told_to_press_again_once_nothing_can_be_pressed(status: Status, overtaken: bool) -> None:
    """A decision that AWS never answered is told while it can be repeated; after the end its note is overtaken."""
    row = replace(ROW, decisions=(UNANSWERED,), request=request(status=status))
    assert wanted(row)[f"note:{UNANSWERED.id}"].overtaken is overtaken


def test_notes_that_were_begun_and_are_wanted_no_more_are_overtaken() -> None:
    """Those that are still wanted are not, nor is anything else."""
    begun = Surface("note:approved", SurfaceKind.NOTE, DeliveryState.WAITING)
    kept = Surface("note:revoked", SurfaceKind.NOTE, DeliveryState.WAITING)
    row = replace(ROW.with_surface(begun).with_surface(kept), request=request(status=Status.REVOKED))
    assert {name for name, want in wanted(row).items() if want.overtaken} == {"note:approved"}
    assert [name for name in wanted(row) if name.startswith("note:")] == ["note:approved", "note:revoked"]


def test_notes_and_messages_wait_for_each_other_and_cards_do_not() -> None:
    """One line for the notes, one for the direct messages, one for each card."""
    row = ROW.with_surface(Surface("card:leads", SurfaceKind.CARD, DeliveryState.DELIVERED, "19:y", "2"))
    row = replace(row, request=request(status=Status.CANCELLED))
    lines = {name: want.line for name, want in wanted(row).items()}
    assert lines == {
        "card:approvals": "card:approvals",
        "card:leads": "card:leads",
        "note:cancelled": "note",
        "dm:cancelled": "direct",
    }


def _views(record: Record) -> dict[str, CardView]:
    return {name: want.view for name, want in wanted(record).items() if isinstance(want.view, CardView)}


def test_a_stand_in_says_which_channel_cannot_be_reached_and_then_where_it_is_decided() -> None:
    """Never with buttons; after the end it says neither."""
    card = replace(ROW.surfaces[0], problem="not_installed", delivery=DeliveryState.WAITING)
    refused = replace(ROW, surfaces=(card,))
    stand_in = _views(refused)["card:leads"]
    assert (stand_in.no_buttons, stand_in.home, stand_in.home_problem) == (
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
    assert not any(view.buttons for view in (stand_in, elsewhere, ended))
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
    """Return of each card whether access can be revoked on it, and at which step."""
    views = {want.name: want.view for want in desired(record, configuration, now)}
    return {name: (view.revoke, view.step) for name, view in views.items() if isinstance(view, CardView)}


def test_access_is_revoked_on_the_card_of_those_who_decide() -> None:
    """Not on one that stood in, and bound to the level that settled the request."""
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
def test_where_nobody_could_revoke_there_is_no_button(why: str, changed: dict[str, object]) -> None:
    """What a click would be refused for is not offered."""
    row = replace(GRANTED, **changed)  # type: ignore[arg-type]  # fields of the row
    assert _offered(row) == {"card:approvals": (False, "")}, why


@pytest.mark.parametrize("asked", [None, request(status=Status.UNKNOWN)])
def test_of_what_is_not_known_the_requester_is_told_nothing(asked: AccessRequest | None) -> None:
    """No facts, or a state that nobody has seen yet: no message, and nothing to answer a click with."""
    row = replace(ROW, request=asked)
    assert direct_kind(row, NOW) is None
    assert not any(name.startswith("dm:") for name in wanted(row))


def test_the_button_goes_with_the_window() -> None:
    """At the very end of it, which is when the card is looked at again."""
    end = next_change(GRANTED, NOW)
    assert end == NOW + 3600 * SECOND
    assert _offered(GRANTED, now=end - SECOND) == {"card:approvals": (True, "Level1")}
    assert _offered(GRANTED, now=end) == {"card:approvals": (False, "")}


def test_while_a_revocation_is_on_its_way_there_is_no_second_button() -> None:
    """Once its person was told so; the card says who pressed."""
    pressed = replace(decision(HANAKO, state=DecisionState.SENT), verdict=Withdrawal.REVOKE, announced=True)
    row = GRANTED.with_decision(pressed)
    (view,) = _views(row).values()
    assert (view.revoke, view.banner) == (False, Banner.APPROVED)
    assert view.applying is not None
    assert view.applying.who == HANAKO.name
    vote = replace(pressed, verdict=Verdict.APPROVE)
    assert _offered(GRANTED.with_decision(vote)) == {"card:approvals": (True, "Level1")}
