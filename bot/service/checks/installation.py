"""All checks of an installation, for its current configuration."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from bot.domain.configuration import Configuration
from bot.domain.identity import PERSON_TAG
from bot.domain.routing import Account, Channel
from bot.ports.aws import READER_SESSION, AwsUnavailable, RoleSession
from bot.ports.probes import AwsProbes, MicrosoftRefused, TeamsProbes
from bot.ports.teams import People
from bot.service.checks import advice, aws, microsoft
from bot.service.checks.check import Check, NotChecked, Problem
from bot.service.checks.domains import Domains
from bot.service.checks.outcomes import Outcomes
from bot.service.current_configuration import CurrentConfiguration

CLOCK: Final = "clock"
MOST_AHEAD: Final = 60.0  # seconds, either way; AWS and Microsoft refuse what is signed five minutes apart
LONGEST_SESSION: Final = 64  # characters of a session name


@dataclass(frozen=True, slots=True)
class Installation:
    """The ports that the checks ask, and the settings with which they compare the answers."""

    configuration: CurrentConfiguration
    teams: TeamsProbes
    aws: AwsProbes
    people: People
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
            yield aws.requesters(account, region, self.outcomes)
            if self.has_queue:
                yield aws.events(account, region, self.outcomes)

    def _roles(self, configuration: Configuration) -> Iterator[Check]:
        """Yield two checks for each role in which people act, and one for each other reader role.

        One more is about decisions that are sent with the bot's own credentials.
        """
        people, domains = _roles_of_people(configuration), Domains(configuration, self.people)
        for arn in sorted(people):
            yield aws.role(arn, self._session_like(arn, domains, people[arn]), self.aws)
        for arn in [*sorted(people), ""]:
            yield aws.decisions(arn, self.outcomes)
        for arn in sorted({each.reader_role for each in configuration.accounts if each.reader_role} - {*people}):
            yield aws.role(arn, self._reader_session(arn), self.aws)

    def _reader_session(self, arn: str) -> Callable[[], Awaitable[RoleSession]]:
        async def session() -> RoleSession:
            return RoleSession(arn, READER_SESSION, external_id=self.configuration.value.identity.external_id)

        return session

    def _session_like(
        self, arn: str, domains: Domains, channels: Sequence[Channel]
    ) -> Callable[[], Awaitable[RoleSession]]:
        async def session() -> RoleSession:
            """Return a session in the bot's name, and in the domain of the channels' people, as trust policies require.

            Never in a person's name: CloudTrail would show that the person assumed the role. Raises NotChecked if no
            domain is known, or if the name is longer than LONGEST_SESSION.
            """
            rules, name = self.configuration.value.identity, f"{READER_SESSION}@{await domains.most_frequent(channels)}"
            if len(name) > LONGEST_SESSION:
                raise NotChecked
            return RoleSession(
                arn,
                name,
                source_identity=name if rules.source_identity else None,
                external_id=rules.external_id,
                tags=((PERSON_TAG, READER_SESSION),) if rules.session_tags else (),
            )

        return session


def _roles_of_people(configuration: Configuration) -> dict[str, list[Channel]]:
    """Return the roles in which approvers decide and requesters cancel, each with the channels whose people use it."""
    roles = {each.cancel_role: list(configuration.channels) for each in configuration.accounts if each.cancel_role}
    for channel in configuration.channels:
        for role in sorted(_deciding_roles(channel, configuration.accounts)):
            users = roles.setdefault(role, [])
            if channel not in users:
                users.append(channel)
    return roles


def _deciding_roles(channel: Channel, accounts: Sequence[Account]) -> set[str]:
    """Return the roles in which approvers of a channel decide the requests of the accounts that it may get."""
    roles = {
        channel.role_at(step, account.id)
        for account in accounts
        if channel.match is None or not channel.match.accounts or account.id in channel.match.accounts
        for step in ("", *(rule.step for rule in channel.levels))
    }
    return {role for role in roles if role}


def _clock_problem(whose: str, ahead: float | None) -> Problem | None:
    if ahead is None or abs(ahead) <= MOST_AHEAD:
        return None
    how = "behind" if ahead > 0 else "ahead of"
    return Problem("clock_off", advice.WRONG_CLOCK.format(minutes=round(abs(ahead) / 60), how=how, whose=whose))
