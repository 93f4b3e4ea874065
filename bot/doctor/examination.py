"""Makes every check, and collects what doctor reports.

Nothing is written, except what a flag asks for. The store is opened only if it exists.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry

from bot import DISTRIBUTION
from bot.adapters import aws_side, microsoft_side
from bot.app_package.package import Finding as Mistake
from bot.app_package.rules import find_mistakes
from bot.aws.assembly import AwsSide
from bot.clock import SystemClock
from bot.config.settings import Settings
from bot.doctor import findings, messages, running_bot
from bot.doctor.endpoint import endpoint_problem, public_roots
from bot.doctor.reading import Reading, unlisted_sessions
from bot.doctor.report import Report, in_order_of_fixing
from bot.doctor.tables import RequesterRow, escalation_rows, group_rows, policy_rows, requester_rows, session_rows
from bot.domain.configuration import Configuration
from bot.ports.aws import AwsThrottled, AwsUnavailable
from bot.ports.store import Store, StoreUnavailable
from bot.service.approver_groups import ApproverGroups
from bot.service.checks.advice import AWS, QUEUE_CODES, UNIDENTIFIED, aws_advice
from bot.service.checks.aws import IDENTITY_CENTER
from bot.service.checks.check import NO_ANSWER, Check, NotChecked, Problem
from bot.service.checks.installation import Installation
from bot.service.checks.outcomes import Outcomes
from bot.service.checks.running import Results, make_checks, only_asking
from bot.service.current_configuration import CurrentConfiguration
from bot.service.reconcile.identifying import Identifying
from bot.service.store_check import CHECK as STORE
from bot.service.store_check import store_check
from bot.store.assembly import empty_store, store_at
from bot.teams.assembly import TeamsSide
from bot.telemetry import Telemetry

REPEATED_AFTER: Final = 2.0  # seconds; Teams refuses about one call in a thousand for no reason
MOST_NAMED: Final = 3  # requesters in one problem
FIRST_ANSWER: Final = 10.0  # seconds for AWS's first answer
OF_AWS: Final = ("role ", "policies ", "sweep ", "queue", IDENTITY_CENTER)  # what the checks of AWS's side begin with
NO_CREDENTIALS: Final = "the AWS credentials do not work"
NO_STORE: Final = "there is no store yet; the first start creates it"
NO_RUNNING_BOT: Final = "no bot answers on this machine's metrics port, so what it has seen is unknown"
NO_URL: Final = "give --url, the messaging endpoint of the Azure Bot"
NO_PERSON: Final = "give --person; that person gets a test message"
NONE_LISTED: Final = (
    "AWS lists none of the last 14 days; either there was none, or AWS does not list them, and show_auto_approved"
    " shows nothing"
)
NO_DECISION: Final = "only a decision shows whether AWS accepts it"
Seen = Callable[[str, Problem | None], None]
"""Called after each check that gave a result, with its name, and its problem or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What the person asks beyond the checks.

    `url` is the public address. `test_card` is the name of a channel, and `person` a UPN; both get a message. None asks
    nothing.
    """

    url: str | None = None
    test_card: str | None = None
    person: str | None = None
    package: bytes | None = None


async def examine(settings: Settings, configuration: Configuration, questions: Questions, seen: Seen) -> Report:
    """Make every check, and return what they found.

    A check that calls Microsoft or AWS and finds a problem is made a second time. `seen` gets the first result, and the
    second if the problem is gone.
    """
    async with AsyncExitStack() as stack:
        examination = _Examination(settings, questions, seen)
        await examination.open(configuration, stack)
        return await examination.report()


class _Examination:
    def __init__(self, settings: Settings, questions: Questions, seen: Seen) -> None:
        self._settings, self._questions, self._seen = settings, questions, seen
        self._clock, self._telemetry = SystemClock(), Telemetry(CollectorRegistry())
        self._outcomes = Outcomes(self._clock)
        self._results = Results()
        self._not_checked: dict[str, str] = {}
        self._aws: AwsSide
        self._teams: TeamsSide
        self._store: Store
        self._installation: Installation
        self._configuration: CurrentConfiguration

    async def open(self, configuration: Configuration, stack: AsyncExitStack) -> None:
        """Open the adapters. A problem with credentials or store is a result, not an error."""
        settings, clock, telemetry = self._settings, self._clock, self._telemetry
        self._aws = await stack.enter_async_context(aws_side(settings, configuration, clock=clock, telemetry=telemetry))
        self._store = await self._open_store(stack)
        known = await self._with_accounts(configuration)
        self._configuration = CurrentConfiguration(known, settings.tenant_id)
        self._teams = await stack.enter_async_context(
            TeamsSide(
                microsoft_side(settings, self._aws, clock=clock),
                store=self._store,
                configuration=self._configuration,
                clock=clock,
                telemetry=telemetry,
                outcomes=self._outcomes,
            )
        )
        self._installation = Installation(
            configuration=self._configuration,
            teams=self._teams,
            aws=self._aws,
            people=self._teams.people,
            groups=self._teams.groups,
            outcomes=self._outcomes,
            app_id=settings.app_id,
            has_queue=self._aws.queue is not None,
        )

    async def report(self) -> Report:
        """Make the checks, and return what they found. Call it once, after `open`."""
        configuration, settings = self._configuration.value, self._settings
        reading = Reading(self._aws.requests, self._clock)
        await self._make(
            [*only_asking(self._installation.checks()), *reading.checks(configuration), *self._own_checks()]
        )
        requesters = await requester_rows(
            *(reading.listed, reading.read),
            store=self._store,
            identifying=self._identifying(),
            rules=configuration.identity,
        )
        self._report_requesters(requesters)
        self._report_auto_approved(reading)
        await self._make(each for each in self._installation.checks() if each.name == IDENTITY_CENTER)
        if self._has_credentials:
            self._not_checked.update(await unlisted_sessions(self._aws.sessions, configuration))
        await self._ask_running_bot()
        self._note_what_nothing_shows()
        return Report(
            version=version(DISTRIBUTION),
            region=settings.region,
            channels=tuple(each.name for each in configuration.channels),
            accounts=tuple(each.id for each in configuration.accounts),
            found=in_order_of_fixing(self._results, self._package_mistakes()),
            passed=tuple(name for name, problem in self._results.items() if problem is None),
            not_checked=self._not_checked,
            policies=tuple(await policy_rows(self._aws, configuration)) if self._has_credentials else (),
            requesters=tuple(requesters),
            escalations=tuple(escalation_rows(configuration.channels)),
            groups=tuple(await group_rows(configuration.channels, self._teams.groups, self._teams.people)),
            sessions=tuple(await session_rows(self._aws, configuration)) if self._has_credentials else (),
        )

    # --- what is asked

    def _own_checks(self) -> Iterator[Check]:
        """Yield the checks that only doctor makes."""
        if STORE not in self._not_checked and STORE not in self._results:
            yield store_check(self._store)
        if self._aws.queue:
            yield Check(findings.RECEIVE, self._receive)
        if (url := self._questions.url) is not None:
            tls = public_roots()
            yield Check(findings.PUBLIC_ADDRESS, lambda: endpoint_problem(url, tls))
        yield from messages.asked_for(
            self._questions.test_card,
            self._questions.person,
            configuration=self._configuration.value,
            chat=self._teams.chat,
            people=self._teams.people,
        )

    async def _receive(self) -> Problem | None:
        try:
            await self._aws.receive()
        except AwsThrottled:
            raise NotChecked from None
        except AwsUnavailable as unavailable:
            return Problem(unavailable.code, aws_advice(unavailable.code, QUEUE_CODES))
        return None

    def _identifying(self) -> Identifying:
        return Identifying(
            people=self._teams.people,
            groups=ApproverGroups(self._teams.groups),
            identities=self._aws.identities,
            configuration=self._configuration,
            outcomes=self._outcomes,
            clock=self._clock,
        )

    def _report_requesters(self, rows: Iterable[RequesterRow]) -> None:
        """Add the problem that nobody can decide the waiting requests of some requesters."""
        if names := dict.fromkeys(each.requester for each in rows if each.blocks):
            seen = ", ".join([*names][:MOST_NAMED])
            self._result(findings.REQUESTERS, Problem("unidentified", UNIDENTIFIED.format(seen=seen)))

    def _report_auto_approved(self, reading: Reading) -> None:
        """Say whether AWS lists requests that an auto-approval policy approved, if a channel shows them."""
        if not self._has_credentials or not any(each.show_auto_approved for each in self._configuration.value.channels):
            return
        if reading.auto_approved:
            self._result(findings.AUTO_APPROVED, None)
        else:
            self._not_checked[findings.AUTO_APPROVED] = NONE_LISTED

    async def _make(self, checks: Iterable[Check]) -> None:
        """Make checks, and keep their results.

        A check that calls Microsoft, AWS or the store and finds a problem is made again after REPEATED_AFTER, because
        Teams and AWS refuse a call now and then. A check that was not answered in time is not made again.
        """
        made = [each for each in checks if self._is_possible(each)]
        found = await make_checks(made, known=self._results, seen=self._say)
        again = [each for each in only_asking(made) if _is_doubtful(found.get(each.name))]
        if again:
            await self._clock.sleep(REPEATED_AFTER)
            found |= await make_checks(again, known=self._results | found, seen=self._say_again)
        self._results |= found

    def _is_possible(self, check: Check) -> bool:
        return self._has_credentials or not check.name.startswith(OF_AWS)

    def _say(self, check: Check, so_far: Results) -> None:
        if check.name in so_far:
            self._seen(check.name, so_far[check.name])
        else:
            self._not_checked[check.name] = "it could not be made now; run doctor again"

    def _say_again(self, check: Check, so_far: Results) -> None:
        """Say that a problem was none, if the second try did not find it."""
        if check.name in so_far and so_far[check.name] is None:
            self._seen(check.name, None)

    # --- what comes first

    @property
    def _has_credentials(self) -> bool:
        return self._results.get(findings.CREDENTIALS) is None

    async def _with_accounts(self, configuration: Configuration) -> Configuration:
        """Return the configuration, with the bot's own account if it has no [[accounts]] and AWS names that account.

        Adds the result of the check of the credentials.
        """
        account = ""
        try:
            async with asyncio.timeout(FIRST_ANSWER):
                account = await self._aws.own_account()
            self._result(findings.CREDENTIALS, None)
        except AwsUnavailable as unavailable:
            self._result(findings.CREDENTIALS, Problem(unavailable.code, aws_advice(unavailable.code, AWS)))
        except TimeoutError:
            self._result(findings.CREDENTIALS, Problem(NO_ANSWER, AWS["ConnectTimeoutError"]))
        if not account:
            self._not_checked["AWS"] = NO_CREDENTIALS
        if configuration.accounts or not account:
            return configuration
        return configuration.with_own_account(account, self._settings.region)

    async def _open_store(self, stack: AsyncExitStack) -> Store:
        """Return the store, or an empty one in memory if the store does not exist yet or cannot be opened."""
        path = self._settings.sqlite_path
        if path and not path.is_file():
            self._not_checked[STORE] = NO_STORE
        else:
            try:
                return await stack.enter_async_context(store_at(self._settings.store, region=self._settings.region))
            except StoreUnavailable as unavailable:
                self._result(STORE, Problem("unavailable", str(unavailable)))
        return await stack.enter_async_context(empty_store())

    async def _ask_running_bot(self) -> None:
        """Add the problems of the running bot whose checks this process has not made."""
        seen = await running_bot.problems_seen(self._settings.metrics_host, self._settings.metrics_port)
        if seen is None:
            self._not_checked[findings.RUNNING_BOT] = NO_RUNNING_BOT
            return
        for name, problem in seen.items():
            if name not in self._results:
                self._result(name, problem)

    def _package_mistakes(self) -> Iterable[Mistake]:
        package = self._questions.package
        return () if package is None else find_mistakes(package, app_id=self._settings.app_id)

    def _note_what_nothing_shows(self) -> None:
        if self._questions.url is None:
            self._not_checked[findings.PUBLIC_ADDRESS] = NO_URL
        if self._questions.person is None:
            self._not_checked["direct messages"] = NO_PERSON
        self._not_checked["decisions"] = NO_DECISION

    def _result(self, name: str, problem: Problem | None) -> None:
        self._results[name] = problem
        self._seen(name, problem)


def _is_doubtful(problem: Problem | None) -> bool:
    return problem is not None and problem.code != NO_ANSWER
