"""All checks of an installation, for its current configuration."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from bot.domain.configuration import Configuration
from bot.domain.identity import PERSON_TAG
from bot.domain.routing import MEMBERS, Channel
from bot.ports.aws import READER_SESSION, AwsUnavailable, RoleSession
from bot.ports.probes import AwsProbes, MicrosoftRefused, TeamsProbes
from bot.ports.teams import Groups, People
from bot.service.approver_groups import ApproverGroups
from bot.service.checks import advice, aws, microsoft
from bot.service.checks.check import Check, NotChecked, Problem
from bot.service.checks.domains import Domains, Group
from bot.service.checks.outcomes import Outcomes
from bot.service.current_configuration import CurrentConfiguration

CLOCK: Final = "clock"
SPANS: Final = {86_400.0: "a day", 3600.0: "an hour", 300.0: "5 minutes", 60.0: "a minute"}
"""Words by the seconds, either way, from which a clock is wrong. AWS and Microsoft refuse what is signed five minutes
apart."""
LONGEST_SESSION: Final = 64  # characters of a session name
ACCOUNT: Final = "{account}"  # in a role's ARN in the file
MOST_DOMAINS: Final = 5  # of approvers, in the check of one role


@dataclass(frozen=True, slots=True)
class Installation:
    """The ports that the checks ask, and the settings with which they compare the answers."""

    configuration: CurrentConfiguration
    teams: TeamsProbes
    aws: AwsProbes
    people: People
    groups: Groups
    outcomes: Outcomes
    app_id: str
    has_queue: bool

    def checks(self) -> Sequence[Check]:
        """Return the checks of the current configuration. Names are unique."""
        configuration, outcomes = self.configuration.value, self.outcomes
        found = [microsoft.token(self.teams), microsoft.keys(self.teams), self._clock()]
        for channel in configuration.channels:
            found += [microsoft.channel(channel, self.teams, outcomes), microsoft.roster(channel, self.teams)]
            found += [microsoft.cards(channel, outcomes)]
        found += [microsoft.group(each, self.groups) for each in configuration.approver_groups]
        found += [microsoft.direct_messages(outcomes), microsoft.service_addresses(outcomes)]
        tenant_id = self.configuration.tenant_id
        found += [microsoft.activities(outcomes, configuration.channels, app_id=self.app_id, tenant_id=tenant_id)]
        found += [*self._roles(configuration), *self._places(configuration), aws.identity_center(outcomes)]
        return [*found, aws.queue_settings(self.aws, outcomes)] if self.has_queue else found

    # --- the clock

    def _clock(self) -> Check:
        """Check that the clock of this machine agrees with AWS's and Microsoft's."""

        async def find() -> Problem | None:
            # other checks report what is not answered
            with suppress(MicrosoftRefused):
                await self.teams.fetch_keys()
            with suppress(AwsUnavailable):
                if problem := _clock_problem("AWS's", await self.aws.aws_ahead()):
                    return problem
            return _clock_problem("Microsoft's", self.teams.microsoft_ahead)

        return Check(CLOCK, find)

    # --- AWS

    def _places(self, configuration: Configuration) -> Iterator[Check]:
        for account, region in configuration.places:
            yield aws.policies(account, region, self.aws, configuration.channels)
            yield aws.requests(account, region, self.outcomes)
            yield aws.requesters(account, region, self.outcomes)
            if self.has_queue:
                yield aws.events(account, region, self.outcomes)

    def _roles(self, configuration: Configuration) -> Iterator[Check]:
        """Yield two checks for each role in which people act, and one for each other reader role.

        One more is about decisions that are sent with the bot's own credentials.
        """
        domains = Domains(self.configuration, self.people, ApproverGroups(self.groups))
        deciding, requesting = _approvers_by_role(configuration), _members_by_role(configuration)
        people = sorted({*deciding, *requesting})
        for arn in people:
            groups, most = (deciding[arn], MOST_DOMAINS) if arn in deciding else (requesting[arn], 1)
            yield aws.role(arn, self._sessions_like(arn, domains, groups, most=most), self.aws)
        for arn in [*people, ""]:
            yield aws.decisions(arn, self.outcomes)
        for arn in sorted({each.reader_role for each in configuration.accounts if each.reader_role} - {*people}):
            yield aws.role(arn, self._reader_session(arn), self.aws)

    def _reader_session(self, arn: str) -> Callable[[], Awaitable[Sequence[RoleSession]]]:
        async def session() -> Sequence[RoleSession]:
            return [RoleSession(arn, READER_SESSION, external_id=self.configuration.value.identity.external_id)]

        return session

    def _sessions_like(
        self, arn: str, domains: Domains, groups: Collection[Group], *, most: int
    ) -> Callable[[], Awaitable[Sequence[RoleSession]]]:
        async def sessions() -> Sequence[RoleSession]:
            """Return sessions in the bot's name, in the domains of the groups' people, as trust policies require.

            Never in a person's name: CloudTrail would show that the person assumed the role. Raises NotChecked if no
            domain is known, or if all names are longer than LONGEST_SESSION.
            """
            names = [f"{READER_SESSION}@{domain}" for domain in await domains.most_frequent(groups, most=most)]
            possible = [self._session(arn, name) for name in names if len(name) <= LONGEST_SESSION]
            if not possible:
                raise NotChecked
            return possible

        return sessions

    def _session(self, arn: str, name: str) -> RoleSession:
        rules = self.configuration.value.identity
        return RoleSession(
            arn,
            name,
            source_identity=name if rules.source_identity else None,
            external_id=rules.external_id,
            tags=((PERSON_TAG, READER_SESSION),) if rules.session_tags else (),
        )


def _members_by_role(configuration: Configuration) -> dict[str, set[Group]]:
    """Return the roles in which requesters cancel and give access back, each with the members of all channels."""
    groups = {Group(each.conversation, (MEMBERS,)) for each in configuration.channels}
    roles = (role for each in configuration.accounts for role in (each.cancel_role, each.give_back_role))
    return {role: groups for role in roles if role}


def _approvers_by_role(configuration: Configuration) -> dict[str, set[Group]]:
    """Return the roles in which approvers decide and end sessions, each with these approvers."""
    found: defaultdict[str, set[Group]] = defaultdict(set)
    for channel in configuration.channels:
        by_role, everyone = _groups_of_roles(channel), _groups_of(channel)
        accounts = channel.match.accounts if channel.match else frozenset()
        for account in configuration.accounts:
            if accounts and account.id not in accounts:
                continue
            for role, groups in by_role.items():
                found[role.replace(ACCOUNT, account.id)] |= groups
            if account.end_sessions_role:
                found[account.end_sessions_role] |= everyone
    return found


def _groups_of_roles(channel: Channel) -> dict[str, set[Group]]:
    """Return a channel's roles, with `{account}` as in the file, each with its approvers.

    There may be a hundred channels and as many accounts, so this is done once for all accounts.
    """
    found: defaultdict[str, set[Group]] = defaultdict(set)
    for step in _steps(channel):
        if role := channel.role_at(step, ACCOUNT):
            found[role].add(Group(channel.conversation, channel.approvers_at(step)))
    return found


def _groups_of(channel: Channel) -> set[Group]:
    """Return the approvers of a channel's steps, also of those that are decided without a role."""
    return {Group(channel.conversation, channel.approvers_at(step)) for step in _steps(channel)}


def _steps(channel: Channel) -> Sequence[str]:
    """Return the steps of a channel's rules, and "", which stands for each step without a rule."""
    return ("", *(rule.step for rule in channel.levels))


def _clock_problem(whose: str, ahead: float | None) -> Problem | None:
    """Return the problem of a clock, with a rough span: an exact one would begin the problem again in the log."""
    span = next((words for seconds, words in SPANS.items() if ahead is not None and abs(ahead) > seconds), None)
    if ahead is None or span is None:
        return None
    how = "behind" if ahead > 0 else "ahead of"
    return Problem("clock_off", advice.WRONG_CLOCK.format(span=span, how=how, whose=whose))
