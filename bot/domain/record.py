"""The row: all that the program remembers of one request. State and outbox at once.

Writes are pure functions from row to row; the store re-applies them when another writer was faster.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from bot.domain.claims import awaits_effect
from bot.domain.decision import Decision, DecisionState
from bot.domain.identity import Requester
from bot.domain.request import AccessRequest, RequestKey, Status, Verdict
from bot.domain.routing import Route

AHEAD = timedelta(days=3650)  # rows are looked at in the order in which they are due: longer than anybody was away
GONE_AFTER = timedelta(minutes=10)  # AWS may not show for a moment what is there; not for that long
KEPT = timedelta(days=365)  # after its end, as long as AWS keeps the request itself
KEPT_UNREAD = timedelta(days=7)  # nothing was ever known of it: a hint that led nowhere


UNDONE_KEPT = 30  # decisions that came to nothing; somebody may press for ever, and a row has room for 400 KB


class SurfaceKind(StrEnum):
    """What a person sees in Teams."""

    CARD = "card"  # a message of its own in the channel, updated in place
    NOTE = "note"  # a reply in the card's thread, sent once
    DIRECT = "direct"  # a message in the requester's personal chat, sent once


class DeliveryState(StrEnum):
    """How far a surface got."""

    WAITING = "waiting"  # not posted, or posted in vain; tried again
    CLAIMED = "claimed"  # about to be posted; a crash here may leave one orphan
    DELIVERED = "delivered"
    SKIPPED = "skipped"  # a later state overtook it before it was sent
    IMPOSSIBLE = "impossible"  # Teams refused for good; it is left as it is


@dataclass(frozen=True, slots=True)
class Surface:
    """One thing delivered to Teams. `name` is its key: `card:…`, `note:…`, `dm:approved`."""

    name: str
    kind: SurfaceKind
    delivery: DeliveryState
    conversation: str | None = None
    activity_id: str | None = None
    digest: str | None = None  # of what was delivered; another digest means an update is due
    attempts: int = 0  # posts that were begun
    reposts: int = 0  # times that it was posted anew because somebody deleted it
    lost: int = 0  # posts of which nobody learned what became of them: as many copies may be in Teams, unknown to us
    problem: str | None = None  # why Teams refuses it, as a code; impossible for good only where `delivery` says so
    failures: int = 0  # in a row, of whatever kind; sets the pause before the next attempt
    refusals: int = 0  # of those the ones that Teams refused: an outage or a crowd says nothing about the recipient
    retry_at: datetime | None = None  # not to be attempted before

    @property
    def decision_id(self) -> str | None:
        """The decision that a message tells of, if it is about one: `note:<id>`, `note:<id>:shown`, `dm:<id>`."""
        return None if self.kind is SurfaceKind.CARD else self.name.split(":")[1]


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may write to Teams for this request, until when. Clicks do not take it."""

    owner: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """One request: facts, route, decisions, surfaces, lease and the next moment to look."""

    key: RequestKey
    created_at: datetime
    version: int = 0  # 0: not stored yet
    request: AccessRequest | None = None
    requester: Requester | None = None
    observed_at: datetime | None = None  # before the reads of the last look began
    observed_from: int = -1  # the row's version then; versions order what clocks of several machines cannot
    reconcile_failures: int = 0  # in a row; sets the pause before the next look
    missing_since: datetime | None = None  # since when AWS says that there is no such OpsItem
    conflicting_policies: tuple[str, ...] = ()  # only the event of a failed request names them
    route: Route | None = None
    decisions: tuple[Decision, ...] = ()
    surfaces: tuple[Surface, ...] = ()
    lease: Lease | None = None
    requeue_at: datetime | None = None

    def decision(self, decision_id: str) -> Decision | None:
        """Return the decision of that id."""
        return next((decision for decision in self.decisions if decision.id == decision_id), None)

    def surface(self, name: str) -> Surface | None:
        """Return the surface of that name."""
        return next((surface for surface in self.surfaces if surface.name == name), None)

    def with_decision(self, decision: Decision) -> "Record":
        """Add a decision, or put it in the place of its former self.

        Old ones that came to nothing go, and what the row knows of their notes.
        """
        if not decision.state.live and not decision.settled_in:
            decision = replace(decision, settled_in=self.version + 1)
        others = tuple(each for each in self.decisions if each.id != decision.id)
        undone = [each.id for each in others if each.state in {DecisionState.RELEASED, DecisionState.REFUSED}]
        dropped = frozenset(undone[:-UNDONE_KEPT])
        kept = tuple(each for each in others if each.id not in dropped)
        surfaces = tuple(each for each in self.surfaces if each.decision_id not in dropped)
        return replace(self, decisions=(*kept, decision), surfaces=surfaces)

    def with_surface(self, surface: Surface) -> "Record":
        """Add a surface, or put it in the place of its former self."""
        others = tuple(each for each in self.surfaces if each.name != surface.name)
        return replace(self, surfaces=(*others, surface))

    def requeue_by(self, moment: datetime) -> "Record":
        """Make sure the request is looked at by then; an earlier appointment stands.

        That of a lease goes when the lease is given back. It may be over already, by this clock or by the clock of
        whoever asks, so what comes after it must be told from it: it is made for the instant before.
        """
        if self.lease and self.only_due_for_lease:
            moment = min(moment, self.lease.until - timedelta.resolution)
        if self.requeue_at is not None and self.requeue_at <= moment:
            return self
        return replace(self, requeue_at=moment)

    def requeue_first(self, now: datetime) -> "Record":
        """Have it looked at before whatever is due: somebody decided."""
        return self.requeue_by(now - AHEAD)

    def requeue_soon(self, now: datetime) -> "Record":
        """Have it looked at before what has merely been due for longer: something happened."""
        return self.requeue_by(now - AHEAD / 2)

    def leased_to(self, owner: str, *, now: datetime, span: timedelta) -> "Record | None":
        """Take or renew the lease; None while another holds it.

        Taking it keeps the appointment that is due and makes one for the end of the lease, should its holder die.
        """
        ours = self.lease is not None and self.lease.owner == owner
        if self.lease and not ours and self.lease.until > now:
            return None
        until = now + span
        appointment = self.requeue_at if ours and not self.only_due_for_lease else until
        return replace(self, lease=Lease(owner, until), requeue_at=appointment)

    def renewed_by(self, owner: str, *, now: datetime, span: timedelta) -> "Record | None":
        """Renew the lease; None if it is not ours any more, even if nobody holds it: another may have been here."""
        return self.leased_to(owner, now=now, span=span) if self.leased_by(owner) else None

    def leased_by(self, owner: str) -> bool:
        """True if nobody else has had the lease since it was taken, over or not."""
        return self.lease is not None and self.lease.owner == owner

    @property
    def only_due_for_lease(self) -> bool:
        """True if nobody asked for a look since the lease was taken."""
        return self.lease is not None and self.requeue_at == self.lease.until

    def released_by(self, owner: str) -> "Record":
        """Give the lease back, if it is still ours, and with it the appointment that was made for its end."""
        if not self.leased_by(owner):
            return self
        appointment = None if self.only_due_for_lease else self.requeue_at
        return replace(self, lease=None, requeue_at=appointment)

    def observed(self, request: AccessRequest, requester: Requester, *, at: datetime, since: int) -> "Record":
        """Take in what AWS said to a look that began at `at`, when the row's version was `since`.

        What an earlier look knew and this one could not read is kept; a slower look that began earlier is not.
        """
        if self.observed_from > since:
            return self
        facts = request.completed_from(self.request)
        return replace(
            self,
            request=facts,
            requester=requester,
            observed_at=at,
            observed_from=since,
            reconcile_failures=0,
            missing_since=None,
        )

    def not_found(self, at: datetime) -> "Record":
        """Take in that AWS says there is no such OpsItem; after GONE_AFTER of this the request counts as gone."""
        since = self.missing_since or at
        if self.request is None or self.request.status.ended or at - since < GONE_AFTER:
            return replace(self, missing_since=since)
        return replace(self, missing_since=since, request=replace(self.request, status=Status.GONE))

    def tells_end_of(self, decision: Decision, now: datetime) -> bool:
        """True once the row tells what became of a decision: it is settled, AWS was looked at since and shows it."""
        if decision.state.live or self.observed_from < decision.settled_in:
            return False
        return not awaits_effect(decision, self.request, now)

    @property
    def watched(self) -> bool:
        """True while AWS may still change it: until it is decided, and while a look at it is to come.

        A replica is decided elsewhere. An approval has such a look at the end of its access window, so it is watched
        for a revocation until then.
        """
        undecided = self.request is not None and not self.request.status.ended and not self.request.replica_of
        return undecided or self.requeue_at is not None

    @property
    def expires_at(self) -> datetime | None:
        """When the row may be forgotten; None while it is watched."""
        if self.watched:
            return None
        facts = self.request
        if facts is None:
            return self.created_at + KEPT_UNREAD
        return max(filter(None, [facts.access_until, facts.modified_at, self.observed_at, self.created_at])) + KEPT

    @property
    def live_decisions(self) -> tuple[Decision, ...]:
        """Decisions that are still on their way to AWS."""
        return tuple(decision for decision in self.decisions if decision.state.live)

    def confirmed(self, step: str, verdict: Verdict) -> tuple[Decision, ...]:
        """Decisions at a step that AWS accepted from us."""
        return tuple(
            decision
            for decision in self.decisions
            if decision.step == step and decision.verdict is verdict and decision.state is DecisionState.CONFIRMED
        )
