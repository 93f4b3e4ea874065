"""The row: everything the program stores about one request, both its state and the messages to deliver.

Changes are pure functions from row to row. The store applies them again if another process wrote in between.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.domain.access.endings import LONGEST_PAUSE, Ending, active_ending, after_revocation, with_ending
from bot.domain.access.sessions import Access, Usage, access_of
from bot.domain.decision import LONGEST_HOLD, Decision, DecisionState, Outcome
from bot.domain.identity import Person, PrincipalKind, Requester
from bot.domain.request import AccessRequest, Level, RequestKey, Status, Verdict
from bot.domain.routing import Route
from bot.domain.rules.claims import awaits_effect
from bot.domain.rules.reviewing import REVIEW_SPAN, Review
from bot.domain.spans import is_ahead, runs
from bot.domain.surface import Surface, SurfaceKind

AHEAD = timedelta(days=3650)  # rows are reconciled by due time, so urgent ones are dated back by more than any outage
ROW_LEASE = timedelta(seconds=30)  # longer than one call to AWS or Teams may take; renewed before each write to Teams
LONGEST_RETRY = timedelta(days=1)  # no pause before the next attempt to deliver a surface is longer
GONE_AFTER = timedelta(minutes=10)  # AWS may briefly not show an existing OpsItem, but not for this long
KEPT = timedelta(days=365)  # after the request's end; AWS also keeps the request for this long
KEPT_UNREAD = timedelta(days=7)  # for a row whose request could never be read
UNDONE_KEPT = 30  # decisions without effect; people may click without end, and DynamoDB rows are limited to 400 KB


@dataclass(frozen=True, slots=True)
class LevelCall:
    """A level whose people a message called, and when. `step` is "" for a first card that called no one."""

    step: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Escalation:
    """A second channel that may decide a step, and since when. bot.domain.escalation says whether it still counts."""

    step: str
    channel: str
    conversation: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one process to write to Teams for this request until a moment. Clicks need no lease."""

    owner: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Visits:
    """How often the requester was granted access to the same node before, and when they last requested it.

    Counted when the card was posted, over the `days` before.
    """

    times: int
    last_at: datetime
    days: int


@dataclass(frozen=True, slots=True)
class Unrecognized:
    """The parts of a row that a newer version of the program stored and this version does not know. They are kept.

    `omitted` names the parts that this version left out because of an unknown value: `decisions/<id>`,
    `surfaces/<name>`, `endings/<id>`, `request`, `requester`, `route`, `usage`.
    """

    text: str  # the JSON of the row as it was read
    omitted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Record:
    """One request: facts, route, decisions, surfaces, lease, and when it is reconciled next."""

    key: RequestKey
    created_at: datetime
    version: int = 0  # 0: never stored
    request: AccessRequest | None = None
    requester: Requester | None = None
    observed_at: datetime | None = None  # when the last reconcile began to read AWS
    observed_from: int = -1  # the row's version at that moment: clocks of several machines cannot order reads
    votes_read_at: datetime | None = None  # when the last reconcile began that read every step with its votes
    votes_read_from: int = -1  # the row's version at that moment
    no_approver: bool = False  # no member of the channel may decide at the waiting level, as of the last read roster
    reconcile_failures: int = 0  # consecutive; sets the pause before the next reconcile
    missing_since: datetime | None = None  # since when AWS reports that the OpsItem does not exist
    conflicting_policies: tuple[str, ...] = ()  # those that the event of a failed request named
    no_second_approver: bool = False  # there are approvers, but each has or may have approved another level
    voters: tuple[tuple[str, str], ...] = ()  # voters outside Teams: AWS's spelling, the name in Teams
    voter_users: tuple[tuple[str, str], ...] = ()  # the same: AWS's spelling, the Microsoft Entra object id
    reviews: tuple[Review, ...] = ()  # marks of people who are looking at the request; they may have ended
    visits: Visits | None = None  # None: none, or not counted
    usage: Usage | None = None  # what granted access was used for; None: never read, or the permission is missing
    endings: tuple[Ending, ...] = ()  # oldest first; at most one is not over
    route: Route | None = None
    decisions: tuple[Decision, ...] = ()
    surfaces: tuple[Surface, ...] = ()
    level_calls: tuple[LevelCall, ...] = ()  # each step once; () also if an earlier version posted the card
    escalations: tuple[Escalation, ...] = ()  # each step once
    lease: Lease | None = None
    requeue_at: datetime | None = None
    deliver_at: datetime | None = None  # if equal to requeue_at: the row is due only for a postponed delivery
    unrecognized: Unrecognized | None = None  # not stored; bot.store.unrecognized

    def decision(self, decision_id: str) -> Decision | None:
        """Return the decision with this id, or None."""
        return next((decision for decision in self.decisions if decision.id == decision_id), None)

    def surface(self, name: str) -> Surface | None:
        """Return the surface with this name, or None."""
        return next((surface for surface in self.surfaces if surface.name == name), None)

    @property
    def cards(self) -> tuple[Surface, ...]:
        """The surfaces of the request's cards and their copies, in every channel."""
        return tuple(surface for surface in self.surfaces if surface.kind is SurfaceKind.CARD)

    def level(self, step: str) -> Level | None:
        """Return the request's level with this step name; None also if the request was never read."""
        return self.request.level(step) if self.request else None

    @property
    def access(self) -> Access | None:
        """The access that the request granted, with every session name of the requester that is known."""
        requester = self.requester
        if requester and requester.identified and requester.principal.kind is PrincipalKind.IDENTITY_CENTER_USER:
            return access_of(self.request, requester.spellings)
        return access_of(self.request)

    @property
    def ending(self) -> Ending | None:
        """The ending of sessions that is not over; None if there is none."""
        return active_ending(self.endings)

    def with_ending(self, ending: Ending) -> "Record":
        """Add an ending of sessions, or replace its earlier version."""
        return replace(self, endings=with_ending(self.endings, ending))

    def with_settled_ending(self, now: datetime) -> "Record":
        """Let the ending begin or stop if the result of its revocation is known."""
        ending = self.ending
        after = ending and after_revocation(ending, self.decision(ending.revocation), now)
        return self.with_ending(after) if after and after != ending else self

    def with_usage(self, usage: Usage | None) -> "Record":
        """Replace what the access was used for."""
        return self if usage is self.usage else replace(self, usage=usage)

    @property
    def waiting_level(self) -> Level | None:
        """The request's level that waits for a decision; None also if the request was never read."""
        return self.request.waiting if self.request else None

    def with_decision(self, decision: Decision) -> "Record":
        """Add a decision, or replace its earlier version.

        Of the earlier decisions without effect only the newest UNDONE_KEPT are kept, with the messages about them.
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
        """Add a surface, or replace its earlier version."""
        others = tuple(each for each in self.surfaces if each.name != surface.name)
        return replace(self, surfaces=(*others, surface))

    def level_call(self, step: str) -> LevelCall | None:
        """Return when the people of this step were called; None if no message called them."""
        return next((call for call in self.level_calls if call.step == step), None)

    def with_level_call(self, step: str, at: datetime) -> "Record":
        """Add that a message called the people of this step, unless an earlier one did.

        `step` is "" for a card that called no one, which matters only for the first card.
        """
        if self.level_call(step) or (not step and self.level_calls):
            return self
        return replace(self, level_calls=(*self.level_calls, LevelCall(step, at)))

    def with_delivery(self, surface: Surface, *, by: str, now: datetime) -> "Record":
        """Add a surface as the process `by` delivered it.

        If that process lost the lease, Teams may show older content than the row says: reconcile again.
        """
        if self.leased_by(by):
            return self.with_surface(surface)
        return self.with_surface(replace(surface, digest=None)).requeue_by(now)

    def requeue_by(self, moment: datetime) -> "Record":
        """Make the row due at this moment at the latest; an earlier due time stays.

        The due time at the end of a lease is removed when the lease is given back. A moment at or after that end is
        therefore stored as one microsecond before it. The row is then due for more than a delivery.
        """
        if self.lease and self.only_due_for_lease:
            moment = min(moment, self.lease.until - timedelta.resolution)
        if self.requeue_at is not None and self.requeue_at <= moment:
            return self if self.deliver_at is None else replace(self, deliver_at=None)
        return replace(self, requeue_at=moment, deliver_at=None)

    def redeliver_at(self, moment: datetime) -> "Record":
        """Make the row due for a postponed delivery only; like `requeue_by` if the row has a due time already."""
        if self.requeue_at is not None:
            return self.requeue_by(moment)
        return replace(self, requeue_at=moment, deliver_at=moment)

    def has_times_ahead(self, now: datetime) -> bool:
        """True if a clock that was ahead stored this row. Its due time is probably wrong, so it is reconciled now."""
        ends = [(self.lease.until if self.lease else None, ROW_LEASE)]
        ends += [(each.held_until, LONGEST_HOLD) for each in self.live_decisions]
        ends += [(each.retry_at, LONGEST_RETRY) for each in self.surfaces]
        ends += [(each.until, REVIEW_SPAN) for each in self.reviews]
        ends += [(each.next_at, LONGEST_PAUSE) for each in self.endings]
        begun = [end - span for end, span in ends if end]
        begun += [moment for each in self.live_decisions for moment in (each.clicked_at, each.turn_at) if moment]
        past = (self.observed_at, self.missing_since, *begun)
        return any(each and is_ahead(each, now) for each in past)

    def corrected(self, now: datetime) -> "Record":
        """Drop the pauses of all surfaces if a clock that was ahead stored this row."""
        if not self.has_times_ahead(now):
            return self
        return replace(self, surfaces=tuple(replace(each, retry_at=None) for each in self.surfaces))

    def requeue_first(self, now: datetime) -> "Record":
        """Make the row due before all rows that are due for another reason, because a person decided."""
        return self.requeue_by(now - AHEAD)

    def requeue_soon(self, now: datetime) -> "Record":
        """Make the row due before rows that are due by time only, because an event occurred."""
        return self.requeue_by(now - AHEAD / 2)

    def leased_to(self, owner: str, *, now: datetime, span: timedelta) -> "Record | None":
        """Return the row with the lease taken or renewed for `span`; None while another process holds it.

        Taking the lease replaces requeue_at by the lease's end, so the row is due again if the holder crashes.
        `deliver_at` stays if the row was due only for a delivery.
        """
        ours = self.lease is not None and self.lease.owner == owner
        if self.lease and not ours and runs(self.lease.until, now=now, span=span):
            return None
        until = now + span
        due = self.requeue_at if ours and not self.only_due_for_lease else until
        only_to_deliver = ours or self.requeue_at == self.deliver_at
        deliver_at = self.deliver_at if only_to_deliver else None
        return replace(self, lease=Lease(owner, until), requeue_at=due, deliver_at=deliver_at)

    def renewed_by(self, owner: str, *, now: datetime, span: timedelta) -> "Record | None":
        """Return the row with the owner's lease renewed for `span`; None if the owner lost it.

        A free lease is lost: another process may have had it.
        """
        return self.leased_to(owner, now=now, span=span) if self.leased_by(owner) else None

    def leased_by(self, owner: str) -> bool:
        """True if no other process has had the lease since this owner took it, even if it has expired."""
        return self.lease is not None and self.lease.owner == owner

    @property
    def only_due_for_lease(self) -> bool:
        """True if nothing has requeued the row since the lease was taken."""
        return self.lease is not None and self.requeue_at == self.lease.until

    def released_by(self, owner: str) -> "Record":
        """Give the lease back if the owner still has it, and remove the due time that was set for its end."""
        if not self.leased_by(owner):
            return self
        due = None if self.only_due_for_lease else self.requeue_at
        return replace(self, lease=None, requeue_at=due)

    def observed(self, request: AccessRequest, requester: Requester, *, at: datetime, since: int) -> "Record":
        """Store what was read from AWS. The read began at `at`, when the row's version was `since`.

        Facts that this read did not get are kept from earlier reads. A read that began before the last one is ignored.
        """
        if self.observed_from > since:
            return self
        facts = request.completed_from(self.request)
        seen = replace(self, votes_read_at=at, votes_read_from=since) if request.shows_votes else self
        return replace(
            seen,
            request=facts,
            requester=requester,
            observed_at=at,
            observed_from=since,
            no_approver=self.no_approver and _waiting_step(facts) == _waiting_step(self.request),
            no_second_approver=self.no_second_approver and _waiting_step(facts) == _waiting_step(self.request),
            reconcile_failures=0,
            missing_since=None,
        )

    def with_voters(self, people: Mapping[str, Person]) -> "Record":
        """Add the people who voted outside Teams, by AWS's spelling. What is known stays: it was certain once."""
        if not people:
            return self
        names = {by: person.shown_name for by, person in people.items()} | dict(self.voters)
        users = {by: person.user for by, person in people.items()} | dict(self.voter_users)
        return replace(self, voters=tuple(names.items()), voter_users=tuple(users.items()))

    def not_found(self, at: datetime) -> "Record":
        """Store that AWS knows no such OpsItem. After GONE_AFTER a request that has not ended counts as gone."""
        since = min(self.missing_since or at, at)
        if self.request is None or self.request.status.ended or at - since < GONE_AFTER:
            return replace(self, missing_since=since)
        return replace(self, missing_since=since, request=replace(self.request, status=Status.GONE))

    def has_result_of(self, decision: Decision, now: datetime) -> bool:
        """True once the row has the final result of a decision: it is settled, and AWS was read after that.

        The result of an accepted decision is final once AWS shows it, or after EFFECT_SPAN. A withdrawn decision needs
        no read.
        """
        if decision.outcome is Outcome.WITHDRAWN:  # nothing was sent, so AWS shows nothing of it
            return not decision.state.live
        if decision.state.live or self.observed_from < decision.settled_in:
            return False
        return not awaits_effect(decision, self.request, now)

    @property
    def watched(self) -> bool:
        """True while AWS may change the request: until it is decided, and while the row is due at some moment.

        An approved request is due at the end of its access window, so a revocation before then is noticed. Replicas
        are decided elsewhere.
        """
        undecided = self.request is not None and not self.request.status.ended and not self.request.replica_of
        return undecided or self.requeue_at is not None

    @property
    def expires_at(self) -> datetime | None:
        """When the row may be deleted; None while it is watched."""
        if self.watched:
            return None
        facts = self.request
        if facts is None:
            return self.created_at + KEPT_UNREAD
        return max(filter(None, [facts.access_until, facts.modified_at, self.observed_at, self.created_at])) + KEPT

    @property
    def has_unrecognized_decision(self) -> bool:
        """True if a newer version stored a decision that this version cannot read. Then no other decision is made."""
        return any(each.startswith("decisions/") for each in self._omitted)

    @property
    def has_unrecognized_ending(self) -> bool:
        """True if a newer version stored an ending that this version cannot read. Then no other one is begun."""
        return any(each.startswith("endings/") for each in self._omitted)

    def has_unrecognized_surface(self, name: str) -> bool:
        """True if a newer version stored this surface with a value that this version does not know."""
        return f"surfaces/{name}" in self._omitted

    @property
    def _omitted(self) -> frozenset[str]:
        return self.unrecognized.omitted if self.unrecognized else frozenset()

    @property
    def live_decisions(self) -> tuple[Decision, ...]:
        """Decisions that may still take effect."""
        return tuple(decision for decision in self.decisions if decision.state.live)

    def confirmed(self, step: str, verdict: Verdict) -> tuple[Decision, ...]:
        """Return the decisions at a step with this verdict that AWS accepted."""
        return tuple(
            decision
            for decision in self.decisions
            if decision.step == step and decision.verdict is verdict and decision.state is DecisionState.CONFIRMED
        )


def _waiting_step(request: AccessRequest | None) -> str | None:
    return request.waiting.step if request and request.waiting else None
