"""Which AWS accounts are watched, which channel gets a request, and that channel's rules.

The shapes of [[accounts]] and [[channels]] in node-access.toml.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bot.domain.request import AccessRequest, Verdict
from bot.domain.schedule.digest_week import WeeklyTime
from bot.domain.schedule.quiet_hours import QuietHours

DEFAULT_TAGS = ("Environment", "Owner", "Team", "Service")  # shown where present unless show_tags says otherwise
# Endings of channel ids; the older one is still in use. Ids of group chats end in `@thread.v2`.
CHANNEL_ENDINGS = ("@thread.tacv2", "@thread.skype")
MEMBERS = "members"  # the entry of `approvers` for every member of the channel
GROUP = "group:"  # begins the entry for its members who are also in a Microsoft Entra group; the object id follows


@dataclass(frozen=True, slots=True)
class Account:
    """An AWS account and its Regions, one entry of [[accounts]]."""

    id: str
    regions: tuple[str, ...]
    reader_role: str | None = None  # ARN of the role that reads the account; None: the bot's own credentials
    cancel_role: str | None = None  # ARN of the role that cancels requests; None: no cancelling from Teams
    name: str | None = None  # shown beside the id
    session_logs: "SessionLogs | None" = None  # None: cards do not link to them
    end_sessions_role: str | None = None  # ARN of the role that ends sessions; None: no ending from Teams
    give_back_role: str | None = None  # ARN of the role in which requesters give access back; None: not from Teams


@dataclass(frozen=True, slots=True)
class SessionLogs:
    """Where Session Manager writes the logs of sessions: a log group of CloudWatch, or `bucket/prefix` of S3."""

    group: str | None = None
    bucket: str | None = None


class CauseKind(StrEnum):
    """A kind of condition that leads a request to a channel."""

    ACCOUNT = "account"
    REGION = "region"
    POLICY = "policy"
    TAG = "tag"
    FALLBACK = "fallback"  # no other channel matches


@dataclass(frozen=True, slots=True)
class Cause:
    """A condition that a request meets. `value` is what the request has; `key` is the key of a tag."""

    kind: CauseKind
    value: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """The conditions that a request must meet for a channel. An empty field matches every request."""

    accounts: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    policies: frozenset[str] = frozenset()
    tags: tuple[tuple[str, frozenset[str]], ...] = ()

    def matches(self, request: AccessRequest) -> bool | None:
        """Return whether the request matches; None if that depends on facts that have not been read yet."""
        if self.accounts and request.key.account not in self.accounts:
            return False
        if self.regions and request.key.region not in self.regions:
            return False
        policy = self._matches_policy(request)
        tags = False if policy is False else self._matches_tags(request)
        if tags is False:
            return False
        return None if policy is None or tags is None else True

    def causes(self, request: AccessRequest) -> tuple[Cause, ...]:
        """Return the conditions that a matching request meets, and what it has for each."""
        tags = ((key, dict.fromkeys(node.tag(key) or "" for node in request.targets)) for key, _ in self.tags)
        return (
            *([Cause(CauseKind.ACCOUNT, request.key.account)] if self.accounts else ()),
            *([Cause(CauseKind.REGION, request.key.region)] if self.regions else ()),
            *([Cause(CauseKind.POLICY, request.policy or "")] if self.policies else ()),
            *(Cause(CauseKind.TAG, value, key) for key, values in tags for value in values),
        )

    def _matches_policy(self, request: AccessRequest) -> bool | None:
        if not self.policies:
            return True
        return None if request.policy is None else request.policy in self.policies

    def _matches_tags(self, request: AccessRequest) -> bool | None:
        if not self.tags:
            return True
        nodes = request.targets
        if not nodes or None in [node.tags for node in nodes]:
            return None
        for key, values in self.tags:
            for node in nodes:
                if node.tag(key) not in values:
                    return False
        return True


@dataclass(frozen=True, slots=True)
class LevelRule:
    """The rules of one step, where they differ from the channel's."""

    step: str
    approvers: tuple[str, ...]
    approver_role: str | None = None
    one_level_per_person: bool | None = None  # None: as for the channel
    mention: tuple[str, ...] | None = None  # None: as for the channel


@dataclass(frozen=True, slots=True)
class Channel:
    """One entry of [[channels]].

    `approvers` are `members`, `user:<object id>`, `upn:<name>` or `group:<object id>`; if empty, no one decides.
    """

    name: str
    conversation: str
    approvers: tuple[str, ...] = ()
    decide: bool = True  # False: paused; its cards have no buttons
    approver_role: str | None = None
    mention: tuple[str, ...] = ()
    locale: str = "en"
    timezone: str = "UTC"
    comment_required: frozenset[Verdict] = frozenset()
    show_tags: tuple[str, ...] = DEFAULT_TAGS
    match: Match | None = None
    fallback: bool = False
    levels: tuple[LevelRule, ...] = ()
    one_level_per_person: bool = True  # False: a person may approve several levels of a request
    remind_after: tuple[timedelta, ...] = ()  # in ascending order, from the opening of each level
    quiet_hours: QuietHours | None = None  # reminders wait for their end
    show_auto_approved: bool = False  # True: requests that an auto-approval policy approves get a card, too
    escalate_after: timedelta | None = None  # then `escalate_to` may decide a level as well; None: never
    escalate_to: str | None = None  # the name of a channel
    digest: WeeklyTime | None = None  # when the channel gets its weekly digest; None: never

    def approvers_at(self, step: str) -> tuple[str, ...]:
        """Return the approvers of this step: those of its own rule, else the channel's."""
        rule = self.rule_at(step)
        return rule.approvers if rule else self.approvers

    @property
    def all_approvers(self) -> tuple[str, ...]:
        """The approvers of the channel and of its levels."""
        return (*self.approvers, *(each for rule in self.levels for each in rule.approvers))

    def role_at(self, step: str, account: str) -> str | None:
        """Return the ARN of the IAM role that signals decisions at this step; None for the bot's own credentials."""
        rule = self.rule_at(step)
        role = (rule.approver_role if rule else None) or self.approver_role
        return role.replace("{account}", account) if role else None

    def one_level_at(self, step: str) -> bool:
        """True if a person who approved another level of the request may not approve this step."""
        rule = self.rule_at(step)
        own = rule.one_level_per_person if rule else None
        return self.one_level_per_person if own is None else own

    def held(self, moment: datetime) -> datetime:
        """Return when a reminder that is due at a moment is sent: after the quiet hours."""
        return self.quiet_hours.held(moment, self.timezone) if self.quiet_hours else moment

    def mention_at(self, step: str) -> tuple[str, ...]:
        """Return the people who are mentioned when this step waits for them: those of its rule, else the channel's."""
        rule = self.rule_at(step)
        own = rule.mention if rule else None
        return self.mention if own is None else own

    @property
    def approver_roles(self) -> tuple[str, ...]:
        """The ARNs of the channel's role and of its levels' roles, with `{account}` as in the file."""
        return tuple(filter(None, (self.approver_role, *(rule.approver_role for rule in self.levels))))

    @property
    def steps_without_approvers(self) -> tuple[str | None, ...]:
        """The steps at which no one may decide: rules without approvers, and None for all steps without a rule.

        Empty for a channel that is paused or gets no requests.
        """
        if not self.decide or not (self.fallback or self.match):
            return ()
        without_rule = () if self.approvers else (None,)
        return (*without_rule, *(rule.step for rule in self.levels if not rule.approvers))

    def rule_at(self, step: str) -> LevelRule | None:
        """Return the channel's own rule for this step, or None."""
        return next((rule for rule in self.levels if rule.step == step), None)


@dataclass(frozen=True, slots=True)
class Route:
    """The channel of a request's card. Until `settled`, it is the fallback channel, and the card has no buttons."""

    channel: str
    conversation: str
    settled: bool


def route(request: AccessRequest, channels: Sequence[Channel]) -> Route:
    """Return the route to the first channel that matches, else to the fallback channel.

    If an earlier match depends on facts that have not been read yet, the route leads to the fallback channel and is
    unsettled.
    """
    for channel in channels:
        matches = channel.match.matches(request) if channel.match else False
        if matches:
            return Route(channel.name, channel.conversation, settled=True)
        if matches is None:
            return _fallback(channels, settled=False)
    return _fallback(channels, settled=True)


def causes(request: AccessRequest, channel: Channel, channels: Sequence[Channel]) -> tuple[Cause, ...]:
    """Return why a request is in a channel of the file; () for the only channel, or if the file has changed since."""
    if len(channels) <= 1:
        return ()
    if channel.match and channel.match.matches(request):
        return channel.match.causes(request)
    is_fallback = channel.fallback and route(request, channels) == _fallback(channels, settled=True)
    return (Cause(CauseKind.FALLBACK),) if is_fallback else ()


def _fallback(channels: Sequence[Channel], *, settled: bool) -> Route:
    channel = next(channel for channel in channels if channel.fallback)
    return Route(channel.name, channel.conversation, settled=settled)


def same_conversation(one: str | None, other: str | None) -> bool:
    """Compare conversation ids without the thread part (`;messageid=…`). An empty id equals no other."""
    root = thread_root(one)
    return bool(root) and root == thread_root(other)


def is_channel(conversation: str) -> bool:
    """Return whether the conversation is a channel or a thread in one, not a group chat or personal chat."""
    return thread_root(conversation).endswith(CHANNEL_ENDINGS)


def thread_root(conversation: str | None) -> str:
    """Return the conversation id without `;messageid=…`."""
    return (conversation or "").partition(";")[0]
