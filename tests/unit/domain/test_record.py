"""Tests for bot.domain.record: the row and its changes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.decision import DecisionEvent, DecisionState
from bot.domain.record import UNDONE_KEPT, Lease, Record
from bot.domain.request import LevelState, Node, Status, Verdict
from bot.domain.surface import DeliveryState, Surface, SurfaceKind
from tests.fakes.chat import HANAKO, ICHIRO
from tests.unit.domain.sample import KEY, NOW, SECOND, TARO_REQUESTER, decision, level, request

SPAN = timedelta(seconds=60)
ROW = Record(KEY, NOW, version=7)
CARD = Surface("card:approvals", SurfaceKind.CARD, DeliveryState.POSTING)


# --- decisions and surfaces


def test_changed_decision_replaces_its_earlier_version_in_the_row() -> None:
    """A row has one entry for each decision. A changed decision leaves the others as they are."""
    first, second = decision(HANAKO), decision(ICHIRO)
    row = ROW.with_decision(first).with_decision(second)
    sent = first.after(DecisionEvent.SENDING, at=NOW)
    changed = row.with_decision(sent)
    assert changed.decision(first.id) == sent
    assert changed.decision(second.id) == second
    assert len(changed.decisions) == 2
    assert changed.decision("other") is None


def test_settled_decision_has_the_version_of_the_write_that_settled_it() -> None:
    """`settled_in` is the row's version after that write. Later writes do not change it."""
    sent = decision(HANAKO, state=DecisionState.SENT)
    row = ROW.with_decision(sent)
    assert row.decisions[0].settled_in == 0
    settled = row.with_decision(sent.after(DecisionEvent.ANSWERED, at=NOW))
    assert settled.decisions[0].settled_in == 8
    later = replace(settled, version=20)
    assert later.with_decision(replace(later.decisions[0], announced=True)).decisions[0].settled_in == 8


def test_decision_has_its_result_only_after_a_later_read_of_aws() -> None:
    """The read must begin at the row's version that settled the decision, or later.

    A confirmed vote must also be visible in AWS, but after one minute it no longer needs to be.
    """
    settled = decision(HANAKO, state=DecisionState.CONFIRMED, settled_in=8)
    refused = replace(settled, state=DecisionState.REFUSED)
    assert not replace(ROW, observed_from=7).has_result_of(refused, NOW)
    assert replace(ROW, observed_from=8).has_result_of(refused, NOW)
    assert not replace(ROW, observed_from=99).has_result_of(decision(HANAKO), NOW)
    shown = replace(ROW, observed_from=8, request=request(level(state=LevelState.APPROVED)))
    assert shown.has_result_of(settled, NOW)
    hidden = replace(ROW, observed_from=8, request=request(level()))
    assert not hidden.has_result_of(settled, NOW)
    assert hidden.has_result_of(settled, NOW + 61 * SECOND)


def test_live_decisions_are_found_by_state_and_confirmed_ones_by_step_and_verdict() -> None:
    """Decisions at another step, or with another verdict, are not found."""
    confirmed = decision(HANAKO, Verdict.APPROVE, DecisionState.CONFIRMED)
    others = [
        decision(ICHIRO, Verdict.REJECT, DecisionState.CONFIRMED),
        decision(ICHIRO, Verdict.APPROVE, DecisionState.CONFIRMED, step="Level2"),
        decision(ICHIRO, Verdict.APPROVE, DecisionState.UNKNOWN),
    ]
    row = replace(ROW, decisions=(confirmed, *others))
    assert row.confirmed("Level1", Verdict.APPROVE) == (confirmed,)
    assert row.live_decisions == (others[2],)


def test_changed_surface_replaces_its_earlier_version_in_the_row() -> None:
    """A row has one entry for each surface."""
    note = Surface("note:1", SurfaceKind.NOTE, DeliveryState.DELIVERED)
    row = ROW.with_surface(CARD).with_surface(note)
    posted = replace(CARD, delivery=DeliveryState.DELIVERED, activity_id="1")
    assert row.with_surface(posted).surface(CARD.name) == posted
    assert set(row.with_surface(posted).surfaces) == {note, posted}
    assert row.surface("card:other") is None


# --- the due time


def test_requeue_of_a_row_never_moves_its_due_time_later() -> None:
    """A later requeue time does not replace an earlier one."""
    row = ROW.requeue_by(NOW)
    assert row.requeue_at == NOW
    assert row.requeue_by(NOW + SECOND) is row
    assert row.requeue_by(NOW) is row
    assert row.requeue_by(NOW - SECOND).requeue_at == NOW - SECOND


# --- the lease


def leased(row: Record, owner: str = "a", *, seconds: float = 0) -> Record | None:
    """Take the lease some seconds after NOW; None while another process holds it."""
    return row.leased_to(owner, now=NOW + seconds * SECOND, span=SPAN)


def test_lease_of_a_row_has_one_holder_until_it_ends() -> None:
    """Another process waits until the lease ends. The holder may renew its lease."""
    row = leased(ROW)
    assert row is not None
    assert row.lease == Lease("a", NOW + SPAN)
    assert leased(row, "b", seconds=59.999) is None
    renewed = leased(row, "a", seconds=30)
    assert renewed is not None
    assert renewed.lease == Lease("a", NOW + SPAN + 30 * SECOND)
    taken = leased(row, "b", seconds=60)
    assert taken is not None
    assert taken.lease == Lease("b", NOW + 2 * SPAN)


def test_leased_row_is_due_at_the_end_of_the_lease() -> None:
    """If the holder crashes, the row is reconciled at that time. Giving the lease back removes the due time."""
    row = leased(ROW.requeue_by(NOW))
    assert row is not None
    assert (row.requeue_at, row.only_due_for_lease) == (NOW + SPAN, True)
    assert row.released_by("a") == ROW
    renewed = leased(row, seconds=10)
    assert renewed is not None
    assert renewed.requeue_at == NOW + SPAN + 10 * SECOND


def test_requeue_during_a_lease_is_kept() -> None:
    """A requeue during a lease is not lost when the lease is renewed or given back."""
    row = leased(ROW)
    assert row is not None
    requeued = row.requeue_by(NOW + SECOND)
    renewed = leased(requeued, seconds=5)
    assert renewed is not None
    assert renewed.requeue_at == NOW + SECOND
    assert renewed.released_by("a") == replace(ROW, requeue_at=NOW + SECOND)


@pytest.mark.parametrize("seconds", [60, 61, 75], ids=["at its end", "after it", "by a clock that is ahead"])
def test_row_requeued_for_a_later_time_is_due_when_the_lease_ends(seconds: int) -> None:
    """When the holder gives the lease back, the row is due at the end of the first lease or earlier.

    This is also true if the lease was renewed.
    """
    row = leased(ROW)
    assert row is not None
    requeued = row.requeue_by(NOW + seconds * SECOND)
    for held in (requeued, leased(requeued, seconds=59)):
        assert held is not None
        due = held.released_by("a").requeue_at
        assert due is not None
        assert due <= NOW + SPAN
    assert requeued.requeue_by(NOW + 99 * SECOND) is requeued


def test_only_the_holder_of_a_lease_can_release_it() -> None:
    """A process without the lease cannot remove the lease of another process."""
    row = leased(ROW)
    assert row is not None
    assert row.released_by("b") is row
    assert ROW.released_by("a") is ROW
    assert not ROW.only_due_for_lease


# --- reads of AWS


def test_read_of_a_request_stores_its_facts_requester_and_time_in_the_row() -> None:
    """The row's count of failures is reset."""
    row = replace(ROW, reconcile_failures=3).observed(request(), TARO_REQUESTER, at=NOW, since=7)
    assert (row.request, row.requester, row.observed_at, row.observed_from) == (request(), TARO_REQUESTER, NOW, 7)
    assert row.reconcile_failures == 0


def test_read_that_started_earlier_does_not_replace_one_that_started_later() -> None:
    """The earlier read finished later."""
    approved = ROW.observed(request(status=Status.APPROVED), TARO_REQUESTER, at=NOW, since=9)
    assert approved.observed(request(), TARO_REQUESTER, at=NOW + SECOND, since=8) is approved
    assert approved.observed(request(), TARO_REQUESTER, at=NOW, since=9).request == request()


def test_incomplete_read_keeps_the_known_name_of_the_node() -> None:
    """The node's name stays in the row if a read does not return it."""
    known = ROW.observed(replace(request(), node=Node("i-1", "web")), TARO_REQUESTER, at=NOW, since=7)
    row = known.observed(replace(request(), node=Node("i-1")), TARO_REQUESTER, at=NOW, since=8)
    assert row.request is not None
    assert row.request.node.name == "web"


# --- how long a row is kept


def test_row_is_kept_for_one_year_after_its_last_known_moment() -> None:
    """A row stays while AWS may change the request. The year starts at the last read or at a later end of access.

    A row without facts is kept for seven days.
    """
    year = timedelta(days=365)
    pending = replace(ROW, request=request(level()))
    assert (pending.watched, pending.expires_at) == (True, None)
    running = replace(ROW, request=replace(request(level()), status=Status.APPROVED), requeue_at=NOW)
    assert (running.watched, running.expires_at) == (True, None)
    over = replace(running, requeue_at=None, observed_at=NOW + SECOND)
    assert over.expires_at == NOW + SECOND + year
    assert over.request is not None
    longer = replace(over, request=replace(over.request, access_until=NOW + timedelta(days=14)))
    assert longer.expires_at == NOW + timedelta(days=14) + year
    assert ROW.expires_at == NOW + timedelta(days=7)


def test_number_of_decisions_without_effect_in_a_row_is_limited() -> None:
    """Clicks that AWS always refuses do not fill the row. Live and confirmed decisions are never dropped."""
    row = ROW.with_decision(replace(decision(HANAKO, state=DecisionState.CONFIRMED), id="counts"))
    row = row.with_decision(replace(decision(ICHIRO, state=DecisionState.SENT), id="live"))
    for number in range(100):
        row = row.with_decision(replace(decision(ICHIRO, state=DecisionState.REFUSED), id=f"refused {number}"))
    kept = [each.id for each in row.decisions]
    assert kept[:2] == ["counts", "live"]
    assert kept[2:] == [f"refused {number}" for number in range(99 - UNDONE_KEPT, 100)]


def test_notes_and_messages_of_dropped_decisions_are_dropped() -> None:
    """The surfaces of other decisions, and of the request, stay in the row."""
    dropped = ["note:dropped", "note:dropped:shown", "dm:dropped"]
    names = [*dropped, "dm:kept", "dm:waiting", "note:kept", "note:approved", "card:dropped"]
    kinds = {"note": SurfaceKind.NOTE, "dm": SurfaceKind.DIRECT, "card": SurfaceKind.CARD}
    row = ROW
    for name in names:
        row = row.with_surface(Surface(name, kinds[name.partition(":")[0]], DeliveryState.DELIVERED))
    for name in ("dropped", "kept", *(str(number) for number in range(UNDONE_KEPT))):
        row = row.with_decision(replace(decision(ICHIRO, state=DecisionState.REFUSED), id=name))
    assert [each.name for each in row.surfaces] == names[len(dropped) :]
