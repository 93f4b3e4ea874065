"""The tables of node-access.toml and their conversion to the domain's types.

Owns the keys, their types and defaults. Rules that concern several tables are in bot.config.file.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bot.config.types import (
    AccountId,
    Approver,
    Conversation,
    Domain,
    ExternalId,
    Locale,
    LogBucket,
    LogGroup,
    Mentioned,
    PlainRoleArn,
    Quiet,
    Region,
    RoleArn,
    RoleName,
    Span,
    Spans,
    TeamsUser,
    Timezone,
    Visible,
    Weekly,
)
from bot.domain.identity import IdentityRules
from bot.domain.request import Verdict
from bot.domain.routing import DEFAULT_TAGS, GROUP, MEMBERS, Account, Channel, LevelRule, Match, SessionLogs
from bot.text.names import exact


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class MatchTable(_Table):
    """`match` of a channel: which requests it gets."""

    accounts: list[AccountId] = []
    regions: list[Region] = []
    policies: list[Visible] = []
    tags: dict[str, list[str]] = {}

    def to_domain(self) -> Match:
        """Return the domain's type. A tag without values matches everything, like any empty list."""
        tags = tuple((key, frozenset(values)) for key, values in self.tags.items() if values)
        return Match(frozenset(self.accounts), frozenset(self.regions), frozenset(self.policies), tags)


def _needed(approvers: list[str]) -> list[str]:
    if MEMBERS in approvers and any(each.startswith(GROUP) for each in approvers):
        raise ValueError("members beside a group: everyone in the channel is already allowed; remove one of them")
    return approvers


Approvers = Annotated[list[Approver], AfterValidator(_needed)]


class LevelTable(_Table):
    """[[channels.levels]]: who approves at one step, if that differs from the channel."""

    step: Visible
    approvers: Approvers = []
    approver_role: RoleArn | None = None
    one_level_per_person: bool | None = None
    mention: list[Mentioned] | None = None

    def to_domain(self) -> LevelRule:
        """Return the domain's type."""
        return LevelRule(
            step=self.step,
            approvers=tuple(self.approvers),
            approver_role=self.approver_role,
            one_level_per_person=self.one_level_per_person,
            mention=None if self.mention is None else tuple(self.mention),
        )


class ChannelTable(_Table):
    """One [[channels]] entry."""

    name: Visible
    conversation: Conversation
    approvers: Approvers = []
    decide: bool = True
    approver_role: RoleArn | None = None
    mention: list[Mentioned] = []
    locale: Locale = "en"
    timezone: Timezone = "UTC"
    comment_required: list[Literal["approve", "reject"]] = []
    show_tags: list[Visible] = list(DEFAULT_TAGS)
    show_auto_approved: bool = False
    one_level_per_person: bool = True
    remind_after: Spans = []
    quiet_hours: Quiet | None = None
    escalate_after: Span | None = None
    escalate_to: Visible | None = None
    digest: Weekly | None = None
    match: MatchTable | None = None
    fallback: bool = False
    levels: list[LevelTable] = []

    def to_domain(self, *, alone: bool) -> Channel:
        """Return the domain's type. A single channel (`alone`) without a match is the fallback."""
        return Channel(
            name=self.name,
            conversation=self.conversation,
            approvers=tuple(self.approvers),
            decide=self.decide,
            approver_role=self.approver_role,
            mention=tuple(self.mention),
            locale=self.locale,
            timezone=self.timezone,
            comment_required=frozenset(Verdict(each) for each in self.comment_required),
            show_tags=tuple(self.show_tags),
            match=self.match.to_domain() if self.match else None,
            fallback=self.fallback or (alone and self.match is None),
            levels=tuple(each.to_domain() for each in self.levels),
            one_level_per_person=self.one_level_per_person,
            remind_after=tuple(self.remind_after),
            quiet_hours=self.quiet_hours,
            show_auto_approved=self.show_auto_approved,
            escalate_after=self.escalate_after,
            escalate_to=self.escalate_to,
            digest=self.digest,
        )


class IdentityTable(_Table):
    """[identity]: how requesters are identified."""

    trusted_roles: list[RoleName] = []
    people_domains: list[Domain] = []
    unplaced_requesters: Literal["refuse", "allow"] = "refuse"
    unmatched_requesters: Literal["refuse", "allow"] = "refuse"
    source_identity: bool = False
    external_id: ExternalId | None = None
    session_tags: bool = False

    def to_domain(self, people: dict[str, str]) -> IdentityRules:
        """Return the domain's type, with [people]."""
        return IdentityRules(
            trusted_roles=frozenset(self.trusted_roles),
            people_domains=frozenset(exact(each) for each in self.people_domains),
            allow_unidentified=self.unplaced_requesters == "allow",
            allow_unmatched=self.unmatched_requesters == "allow",
            source_identity=self.source_identity,
            external_id=self.external_id,
            session_tags=self.session_tags,
            people=people,
        )


class TeamsTable(_Table):
    """[teams]: how the bot uses Teams."""

    private_replies: Literal["direct", "targeted"] = "direct"


ACCOUNT_ROLES = ("reader_role", "cancel_role", "end_sessions_role", "give_back_role")  # each a role of that account


class AccountTable(_Table):
    """One [[accounts]] entry."""

    id: AccountId
    name: Visible | None = None
    regions: Annotated[list[Region], Field(min_length=1)]
    reader_role: PlainRoleArn | None = None
    cancel_role: PlainRoleArn | None = None
    end_sessions_role: PlainRoleArn | None = None
    give_back_role: PlainRoleArn | None = None
    session_log_group: LogGroup | None = None
    session_log_bucket: LogBucket | None = None

    def to_domain(self) -> Account:
        """Return the domain's type."""
        return Account(
            id=self.id,
            regions=tuple(self.regions),
            reader_role=self.reader_role,
            cancel_role=self.cancel_role,
            end_sessions_role=self.end_sessions_role,
            give_back_role=self.give_back_role,
            name=self.name,
            session_logs=self.session_logs,
        )

    @property
    def session_logs(self) -> SessionLogs | None:
        """Where the logs of sessions are; None without a setting. CloudWatch goes first, because it has them sooner."""
        if not self.session_log_group and not self.session_log_bucket:
            return None
        return SessionLogs(self.session_log_group, self.session_log_bucket)


class File(_Table):
    """The whole node-access.toml."""

    channels: list[ChannelTable] = []
    identity: IdentityTable = IdentityTable()
    teams: TeamsTable = TeamsTable()
    people: dict[str, TeamsUser] = {}
    accounts: list[AccountTable] = []


TABLES: dict[tuple[str, ...], type[BaseModel]] = {
    (): File,
    ("channels",): ChannelTable,
    ("channels", "match"): MatchTable,
    ("channels", "levels"): LevelTable,
    ("identity",): IdentityTable,
    ("teams",): TeamsTable,
    ("accounts",): AccountTable,
}
