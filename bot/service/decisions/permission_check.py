"""Applies `bot.domain.rules.permission` to a person: reads roster, groups and the current configuration."""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime

from bot.domain.access.endings import Ending
from bot.domain.decision import Decision, DecisionEvent, Outcome
from bot.domain.escalation import rules_in
from bot.domain.identity import Person, Requester
from bot.domain.other_levels import approvers_elsewhere, other_levels
from bot.domain.record import Escalation, Record
from bot.domain.request import BY_REQUESTER, AccessRequest, Action, RequestKey, SessionAction, Verdict, Withdrawal
from bot.domain.routing import Channel, Route
from bot.domain.rules.permission import (
    Membership,
    Refusal,
    may_cancel,
    may_decide,
    may_end_own,
    may_give_back,
    not_the_requester,
)
from bot.domain.shown.card_places import deciding_channel
from bot.ports.teams import People, RosterUnavailable
from bot.service.approver_groups import ApproverGroups
from bot.service.current_configuration import CurrentConfiguration
from bot.service.decisions.state_check import SignalResult, TryAgain


@dataclass(frozen=True, slots=True)
class Actor:
    """A person who acts, with their data and membership from a conversation's roster, and the channel's groups."""

    person: Person
    membership: Membership
    conversation: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """Snapshot of the inputs to a permission check. If they differ at the claim, permission is checked again."""

    revision: int  # counts the configuration's replacements
    request: AccessRequest | None
    requester: Requester | None
    route: Route | None
    # step and object id of each approval in Teams at a level that does not wait: none is claimed beside the check
    approvals: frozenset[tuple[str, str]] = frozenset()
    escalations: tuple[Escalation, ...] = ()


class PermissionCheck:
    """Checks whether a person may decide, revoke, cancel or give back."""

    def __init__(self, people: People, groups: ApproverGroups, configuration: CurrentConfiguration) -> None:
        self._people, self._groups, self._configuration = people, groups, configuration

    def not_the_requester(self, record: Record, person: Person) -> Refusal | None:
        """Return why this person does not count as the requester; None if they do.

        Only the requester may see the direct message with the button that was clicked.
        """
        if record.requester is None:
            return Refusal.UNIDENTIFIED
        return not_the_requester(person, record.requester, self._configuration.tenant_id)

    def identified_by_former_rules(self, record: Record) -> bool:
        """True if other rules or another version identified the requester.

        No one may decide until the current rules have identified them.
        """
        return self._configuration.value.identified_by_former_rules(record)

    async def actor(self, person: Person, channel: Channel) -> Actor:
        """Look a person up in the channel's roster, because an activity has neither UPN nor mail address.

        While the roster is unavailable, it is unknown whether the person is a member: `member` is None. A member
        without a tenant in Teams' answer counts as a guest. The groups that the channel lists are read as well.
        """
        actor, groups = await asyncio.gather(
            self._in_roster(person, channel.conversation), self._groups.read(channel.all_approvers)
        )
        return replace(actor, membership=replace(actor.membership, groups=groups))

    async def _in_roster(self, person: Person, conversation: str) -> Actor:
        try:
            entry = await self._people.member(conversation, person.object_id)
        except RosterUnavailable as unavailable:
            return Actor(person, Membership(member=None, refused=unavailable.refused), conversation)
        if entry is None:
            return Actor(person, Membership(member=False), conversation)
        complete = replace(
            person,
            name=entry.name or person.name,
            upn=entry.upn,
            mail=entry.mail,
            teams_id=entry.teams_id,
            guest=person.guest or entry.guest,
        )
        membership = Membership(member=True, tenant_known=bool(entry.tenant_id) or person.guest)
        return Actor(complete, membership, conversation)

    def inputs(self, record: Record) -> Inputs:
        """Return the current inputs of a permission check on this row."""
        elsewhere = approvers_elsewhere(record)
        revision = self._configuration.revision
        return Inputs(revision, record.request, record.requester, record.route, elsewhere, record.escalations)

    def has_role(self, key: RequestKey, channel_name: str, step: str) -> bool:
        """True if the channel's decisions at this step are sent in a role, not with the bot's own credentials."""
        channel = self._configuration.value.channel(channel_name)
        return bool(channel and channel.role_at(step, key.account))

    def has_role_to_end(self, key: RequestKey) -> bool:
        """True if the account has a role that ends sessions."""
        return self._configuration.value.end_sessions_role(key) is not None

    def refusal(
        self,
        record: Record,
        channel_name: str,
        actor: Actor,
        *,
        action: Action | SessionAction,
        step: str,
        comment: str | None,
    ) -> Refusal | None:
        """Return why the person may not do this, by this row and the current configuration; None if they may.

        `comment` is None if the person is not asked for one.

        NOT_ROUTED: the request or its requester was never read; it has no route; tags that its route needs are unread;
        it is routed to another channel, and this step was not escalated to this one; or this channel was removed, or
        moved to another conversation.
        """
        request, requester = record.request, record.requester
        if request is None or requester is None:
            return Refusal.NOT_ROUTED
        channel = rules_in(record, self._configuration.value, channel_name, step)
        if channel is None or channel.conversation != actor.conversation:
            return Refusal.NOT_ROUTED
        if self.identified_by_former_rules(record):
            return Refusal.RECONFIGURED
        return may_decide(
            actor.person,
            action=action,
            comment=comment,
            request=request,
            requester=requester,
            channel=channel,
            step=step,
            membership=actor.membership,
            tenant_id=self._configuration.tenant_id,
            allow_unidentified=self._configuration.value.identity.allow_unidentified,
            approved_other_level=other_levels(record, step, self._configuration.value.identity).approved_by(
                actor.person
            ),
        )

    async def actor_of(self, record: Record, decision: Decision | Ending) -> Actor | None:
        """Look the person of a decision or an ending up again.

        None if no roster is needed, or no channel decides the request.
        """
        channel = deciding_channel(record, self._configuration.value, decision)
        own = decision.own if isinstance(decision, Ending) else decision.action in BY_REQUESTER
        return None if channel is None or own else await self.actor(decision.person, channel)

    def refusal_of_ending(self, record: Record, ending: Ending, actor: Actor | None, now: datetime) -> Refusal | None:
        """Return why an ending's person may not end sessions now; None if they may. `actor` is that of `actor_of`."""
        configuration = self._configuration.value
        if ending.own:
            return self.refusal_to_end_own(record, ending.person, step=ending.step, now=now)
        channel = deciding_channel(record, configuration, ending)
        if channel is None or actor is None:
            return Refusal.NOT_ROUTED
        if not self.has_role_to_end(record.key):
            return Refusal.NO_END_ROLE
        return self.refusal(
            record, channel.name, actor, action=SessionAction.END, step=ending.step, comment=ending.comment
        )

    def refusal_to_end_own(self, record: Record, person: Person, *, step: str, now: datetime) -> Refusal | None:
        """Return why the person may not end the sessions as their own, by this row and the current configuration."""
        known = self._known(record)
        if isinstance(known, Refusal):
            return known
        request, requester = known
        return may_end_own(
            person,
            request=request,
            requester=requester,
            step=step,
            tenant_id=self._configuration.tenant_id,
            has_role=self.has_role_to_end(record.key),
            now=now,
        )

    def _known(self, record: Record) -> tuple[AccessRequest, Requester] | Refusal:
        """Return the request and its requester, as the current rules identify them; or why they are not known."""
        if record.request is None or record.requester is None:
            return Refusal.UNIDENTIFIED
        if self.identified_by_former_rules(record):
            return Refusal.RECONFIGURED
        return record.request, record.requester

    def objection(self, record: Record, decision: Decision, actor: Actor | None) -> SignalResult | TryAgain | None:
        """Return why a claimed decision must not be sent now; None if its person still may make it.

        `actor` is the result of `actor_of`. Whether AWS still waits for a vote is left to the state check.
        """
        refusal = self._refusal_of(record, decision, actor)
        by_state = isinstance(decision.verdict, Verdict) and refusal in _LEFT_TO_THE_STATE_CHECK
        return None if refusal is None or by_state else _objection(refusal)

    def _refusal_of(self, record: Record, decision: Decision, actor: Actor | None) -> Refusal | None:
        if decision.action in BY_REQUESTER:
            return self.refusal_of_requester(record, decision.person, action=decision.action, step=decision.step)
        channel = deciding_channel(record, self._configuration.value, decision)
        if channel is None or actor is None:
            return Refusal.NOT_ROUTED
        return self.refusal(
            record, channel.name, actor, action=decision.verdict, step=decision.step, comment=decision.comment
        )

    def refusal_of_requester(self, record: Record, person: Person, *, action: Action, step: str) -> Refusal | None:
        """Return why the person may not cancel or give back, by this row and the current configuration; None if so."""
        known = self._known(record)
        if isinstance(known, Refusal):
            return known
        request, requester = known
        configuration, tenant_id = self._configuration.value, self._configuration.tenant_id
        rule, role = may_cancel, configuration.cancel_role(record.key)
        if action is Withdrawal.GIVE_BACK:
            rule, role = may_give_back, configuration.give_back_role(record.key)
        return rule(
            person, request=request, requester=requester, step=step, tenant_id=tenant_id, has_role=role is not None
        )


_LEFT_TO_THE_STATE_CHECK = frozenset({Refusal.UNREADABLE, Refusal.OTHER_STEP})  # it reads AWS, and knows who decided
PASSING = frozenset(  # roster, group and requester are read again soon; Teams refuses now and then without a reason
    {
        Refusal.ROSTER_UNAVAILABLE,
        Refusal.ROSTER_REFUSED,
        Refusal.GROUP_UNAVAILABLE,
        Refusal.REQUESTER_UNREAD,
        Refusal.RECONFIGURED,
    }
)
_OUTCOMES = {Refusal.NOT_ROUTED: Outcome.NOT_ROUTED, Refusal.NO_CANCEL_ROLE: Outcome.NO_CANCEL_ROLE}


def _objection(refusal: Refusal) -> SignalResult | TryAgain:
    if refusal in PASSING:
        return TryAgain(Outcome.NOT_PERMITTED, refusal)
    if outcome := _OUTCOMES.get(refusal):
        return SignalResult(DecisionEvent.WITHDRAWN, outcome)
    return SignalResult(DecisionEvent.WITHDRAWN, Outcome.NOT_PERMITTED, refusal)
