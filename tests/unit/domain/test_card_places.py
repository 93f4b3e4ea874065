"""Tests for bot.domain.shown.card_places: the surface names of cards, and which cards a request has."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.configuration import Configuration
from bot.domain.identity import IdentityRules
from bot.domain.record import Record
from bot.domain.request import Status
from bot.domain.routing import Channel, Route
from bot.domain.shown.card_places import (
    card_name,
    card_places,
    channel_of_card,
    home_problem,
    is_copy,
    renamed,
    with_adopted_card,
)
from bot.domain.surface import DeliveryState, Surface, SurfaceKind
from tests.unit.domain.sample import APPROVALS, KEY, NOW, request

LEADS = Channel("leads", "19:leads@thread.tacv2", fallback=True)
HOME = replace(APPROVALS, fallback=False)
CONFIGURATION = Configuration((HOME, LEADS), IdentityRules())
ROW = Record(KEY, NOW, request=request(), route=Route(HOME.name, HOME.conversation, settled=True))


def card(name: str, *, problem: str | None = None, delivery: DeliveryState = DeliveryState.DELIVERED) -> Surface:
    """Return a card's surface."""
    return Surface(name, SurfaceKind.CARD, delivery, "19:x", "1", problem=problem)


def names(record: Record) -> list[str]:
    """Return the names of the cards that must be shown."""
    return [name for name, _ in card_places(record, CONFIGURATION)]


def test_surface_name_of_a_card_contains_a_plain_channel_name_unchanged() -> None:
    """Rows that earlier versions wrote contain such names."""
    assert card_name("approvals") == "card:approvals"
    assert card_name("approvals", "1481567603816") == "card:approvals:1481567603816"


@given(channel=st.text(min_size=1), activity=st.none() | st.text(min_size=1))
def test_surface_name_shows_the_channel_and_whether_the_card_is_an_extra_copy(
    channel: str, activity: str | None
) -> None:
    """Channel name and activity id may contain any characters."""
    name = card_name(channel, activity)
    assert channel_of_card(name) == channel
    assert is_copy(name) is (activity is not None)


@pytest.mark.parametrize("name", ["note:approved", "note:d1:hidden", "dm:waiting", "dm:waiting:again"])
def test_notes_and_direct_messages_are_no_copies_of_a_card(name: str) -> None:
    """Their names have colons too."""
    assert not is_copy(name)


_CARDS = st.tuples(st.text(":%3A", min_size=1), st.none() | st.text(":%3A", min_size=1))


@given(one=_CARDS, other=_CARDS)
def test_different_cards_have_different_surface_names(
    one: tuple[str, str | None], other: tuple[str, str | None]
) -> None:
    """Two cards or copies have the same name only if channel and activity id are equal, even with `:` and `%`."""
    assert (card_name(*one) == card_name(*other)) is (one == other)


def test_cards_of_a_request_begin_with_the_channel_that_decides_it() -> None:
    """Extra copies and cards of earlier routes are shown too, but no cards of removed channels."""
    row = ROW.with_surface(card("card:approvals:7")).with_surface(card("card:gone")).with_surface(card("card:leads"))
    row = row.with_surface(card("card:approvals"))
    assert names(row) == ["card:approvals", "card:approvals:7", "card:leads"]
    assert names(replace(ROW, route=None)) == []


def test_fallback_channel_has_a_card_while_the_channel_of_the_request_refuses_it() -> None:
    """The fallback has no card if no refusal is known, or after the request ended.

    It has none either if the bot gave up the card of the request's own channel.
    """
    refused = ROW.with_surface(card("card:approvals", problem="not_installed", delivery=DeliveryState.WAITING))
    assert names(refused) == ["card:approvals", "card:leads"]
    assert home_problem(refused) == "not_installed"
    assert names(ROW) == ["card:approvals"]
    assert home_problem(ROW) is None
    assert names(replace(refused, request=request(status=Status.CANCELLED))) == ["card:approvals"]
    assert names(replace(refused, request=None)) == names(refused)  # it may be open
    deleted = ROW.with_surface(card("card:approvals", problem="activity_not_found", delivery=DeliveryState.IMPOSSIBLE))
    assert (names(deleted), home_problem(deleted)) == (["card:approvals"], None)


def test_only_the_fallback_channel_has_a_card_of_its_request_although_it_refuses_it() -> None:
    """The request belongs to the fallback channel itself."""
    at_leads = replace(ROW, route=Route("leads", LEADS.conversation, settled=True))
    refused = at_leads.with_surface(card("card:leads", problem="not_installed", delivery=DeliveryState.WAITING))
    assert names(refused) == ["card:leads"]


@pytest.mark.parametrize("row", [Record(KEY, NOW), ROW])
def test_request_without_a_route_or_a_card_has_no_refusal_of_its_channel(row: Record) -> None:
    """No refusal of Teams is known."""
    assert home_problem(row) is None


def test_two_channels_merged_into_one_keep_both_cards() -> None:
    """If a channel is renamed to one that already has a card of the request, one card becomes a copy of the other."""
    at = APPROVALS.conversation
    old = Surface(card_name("old"), SurfaceKind.CARD, DeliveryState.DELIVERED, f"{at};messageid=1", "1")
    new = Surface(card_name("new"), SurfaceKind.CARD, DeliveryState.DELIVERED, f"{at};messageid=2", "2")
    configuration = Configuration((replace(APPROVALS, name="new"),), IdentityRules())
    row = renamed(Record(KEY, NOW, surfaces=(old, new)), configuration)
    assert {each.name: each.activity_id for each in row.surfaces} == {"card:new": "2", "card:new:1": "1"}


def test_card_that_the_row_has_is_not_adopted_again() -> None:
    """A card that the row has changes nothing. Another card of the same channel is added."""
    row = ROW.with_surface(replace(card("card:approvals"), activity_id="7", unconfirmed_posts=1))
    assert with_adopted_card(row, "approvals", "19:x", "7") == row
    assert with_adopted_card(row, "approvals", "19:x", "8") != row
