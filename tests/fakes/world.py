"""The service layer over fakes: one channel, AWS, Teams, a store, and a clock that tests move by hand."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from bot.domain.configuration import Configuration
from bot.domain.identity import IdentityRules, Person
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.domain.routing import Account, Channel
from bot.domain.shown.links import TeamsSite
from bot.domain.shown.views import Reason
from bot.ports.aws import Queue
from bot.ports.store import Store
from bot.service.assembly import Ports, Services
from bot.service.auditing import Auditing
from bot.service.checks.loop import Checks
from bot.service.checks.outcomes import Outcomes
from bot.service.clicks.click import Answer, Click, Verb
from bot.service.clicks.click_handler import ClickHandler
from bot.service.commands import CommandService
from bot.service.current_configuration import CurrentConfiguration
from bot.service.decisions.signalling import Signalling
from bot.service.reconcile.loop import ReconcileLoop
from bot.service.reconcile.reconciler import Reconciler
from bot.service.replicas import Replicas
from bot.service.rows import Rows
from bot.service.sources.intake import Intake
from bot.service.sources.session_watch import SessionWatch
from bot.service.sources.sweep import Sweep
from bot.service.weekly_digests import WeeklyDigests
from bot.telemetry import Telemetry
from tests.fakes.aws import ACCOUNT, REGION, FakeAws
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, TARO_PERSON, TENANT, FakeChat, FakeGroups, FakePeople
from tests.fakes.clock import ManualClock
from tests.fakes.identities import FakeIdentities
from tests.fakes.people import APP_ID
from tests.fakes.probes import SoundAws, SoundTeams
from tests.fakes.sessions import FakeSessions
from tests.fakes.store import MemoryStore

APPROVALS = Channel(
    name="approvals",
    conversation=CHANNEL,
    approvers=("members",),
    approver_role="arn:aws:iam::{account}:role/NodeAccessApprover",
    fallback=True,
)


CANCEL_ROLE = f"arn:aws:iam::{ACCOUNT}:role/NodeAccessCanceller"
END_SESSIONS_ROLE = f"arn:aws:iam::{ACCOUNT}:role/NodeAccessEndSessions"
SITE = TeamsSite("https://teams.microsoft.com", TENANT)
DRAIN_LIMIT = 30  # real seconds; work that does not end fails its test instead of hanging


def current_configuration(
    *channels: Channel,
    allow_unidentified: bool = False,
    cancel_role: str | None = CANCEL_ROLE,
    end_sessions_role: str | None = None,
    give_back_role: str | None = None,
) -> CurrentConfiguration:
    """Return a configuration with these channels, by default APPROVALS. It trusts the sample requester's role."""
    identity = IdentityRules(trusted_roles=frozenset({"Operator"}), allow_unidentified=allow_unidentified)
    account = Account(
        ACCOUNT,
        (REGION,),
        cancel_role=cancel_role,
        end_sessions_role=end_sessions_role,
        give_back_role=give_back_role,
    )
    return CurrentConfiguration(Configuration(channels or (APPROVALS,), identity, (account,)), TENANT)


@dataclass(slots=True)
class World:
    """The fakes and the services over them."""

    clock: ManualClock
    aws: FakeAws
    chat: FakeChat
    people: FakePeople
    store: Store
    configuration: CurrentConfiguration = field(default_factory=current_configuration)
    owner: str = "replica-1"
    sharing: int = 1  # how many processes share the store and AWS's quotas
    groups: FakeGroups = field(default_factory=FakeGroups)
    identities: FakeIdentities = field(default_factory=FakeIdentities)
    sessions: FakeSessions = field(default_factory=FakeSessions)
    teams_probes: SoundTeams = field(default_factory=SoundTeams)
    aws_probes: SoundAws = field(default_factory=SoundAws)
    auditing: Auditing = field(init=False)
    rows: Rows = field(init=False)
    signalling: Signalling = field(init=False)
    reconciler: Reconciler = field(init=False)
    click_handler: ClickHandler = field(init=False)
    commands: CommandService = field(init=False)
    reconcile_loop: ReconcileLoop = field(init=False)
    sweep: Sweep = field(init=False)
    session_watch: SessionWatch = field(init=False)
    replicas: Replicas = field(init=False)
    outcomes: Outcomes = field(init=False)
    checks: Checks = field(init=False)
    weekly_digests: WeeklyDigests = field(init=False)
    telemetry: Telemetry = field(init=False)
    registry: CollectorRegistry = field(init=False)

    def __post_init__(self) -> None:
        """Build the services."""
        self.sessions.requests, self.sessions.clock = self.aws.requests, self.clock
        self.build()

    def build(self) -> None:
        """Build the services again over the same fakes, as a restart does."""
        self.registry = CollectorRegistry()
        self.telemetry, self.outcomes = Telemetry(self.registry), Outcomes(self.clock)
        ports = Ports(
            store=self.store,
            requests=self.aws,
            identities=self.identities,
            sessions=self.sessions,
            chat=self.chat,
            people=self.people,
            groups=self.groups,
            clock=self.clock,
            teams_probes=self.teams_probes,
            aws_probes=self.aws_probes,
        )
        services = Services(
            ports,
            configuration=self.configuration,
            telemetry=self.telemetry,
            owner=self.owner,
            period=60.0,
            replicas=self.sharing,
            outcomes=self.outcomes,
            app_id=APP_ID,
            has_queue=True,
            site=SITE,
        )
        self.auditing, self.rows, self.signalling = services.auditing, services.rows, services.signalling
        self.reconciler, self.reconcile_loop = services.reconciler, services.reconcile_loop
        self.click_handler, self.sweep = services.click_handler, services.sweep
        self.session_watch = services.session_watch
        self.commands, self.replicas, self.checks = services.commands, services.replicas, services.checks
        self.weekly_digests = services.weekly_digests

    def intake(self, queue: Queue, *, telemetry: Telemetry | None = None, rows: Rows | None = None) -> Intake:
        """Return an intake that empties a queue into the rows of this world, or into `rows`."""
        return Intake(
            queue=queue,
            rows=rows or self.rows,
            clock=self.clock,
            configuration=self.configuration,
            telemetry=telemetry or Telemetry(CollectorRegistry()),
            outcomes=self.outcomes,
        )

    def change_identity(self, **changed: Any) -> None:
        """Replace keys of [identity] in the configuration."""
        value = self.configuration.value
        self.configuration.replace(replace(value, identity=replace(value.identity, **changed)))

    async def shown(self, key: RequestKey) -> Record:
        """Reconcile a request now and return its row."""
        await self.rows.requeue(key)
        await self.reconciler.reconcile(key)
        return await self.row(key)

    async def posted(self, *, levels: int = 1, required: int = 1) -> RequestKey:
        """Add a pending request, post its card and its direct message; return its key."""
        key = self.aws.add(levels=levels, required=required)
        await self.shown(key)
        return key

    async def posted_many(self, count: int) -> list[RequestKey]:
        """Add pending requests with posted cards, quickly: only the first is reconciled. Needs a MemoryStore."""
        assert isinstance(self.store, MemoryStore)
        row = await self.row(await self.posted())
        keys = [self.aws.add(number) for number in range(2, count + 1)]
        for key in keys:
            request = replace(self.aws.requests[key], key=key)
            self.store.tables.records[key] = replace(row, key=key, request=request)
        return [row.key, *keys]

    async def row(self, key: RequestKey) -> Record:
        """Return the row, which must exist."""
        record = await self.store.load(key)
        assert record is not None
        return record

    def pressed(
        self, key: RequestKey, person: Person, verb: Verb = Verb.APPROVE, *, comment: str = "", step: str = "Level1"
    ) -> Click:
        """Return the click of a button on the request's card, which must be the first message that the bot posted."""
        return Click(person, f"{CHANNEL};messageid=1000", verb, str(key), step, comment, "1000")

    async def press(
        self, key: RequestKey, person: Person, verb: Verb = Verb.APPROVE, *, comment: str = "", step: str = "Level1"
    ) -> Answer:
        """Click a button on the request's card and return the answer."""
        return await self.click_handler.click(self.pressed(key, person, verb, comment=comment, step=step))

    async def crash_in(self, click: Click, call: str) -> None:
        """Click, and end the process during a call to AWS, so that only the row is left."""
        self.aws.gates[call] = asyncio.Event()
        clicking = asyncio.create_task(self.click_handler.click(click))
        await self.aws.arrived[call].wait()
        clicking.cancel()
        for task in self.click_handler._background:
            task.cancel()
        del self.aws.gates[call]

    def withdrawn(self, key: RequestKey, person: Person = TARO_PERSON, verb: Verb = Verb.CANCEL) -> Click:
        """Return a click on a button of the person's direct message, which must be the second message of the bot."""
        return Click(person, f"a:{person.object_id}", verb, str(key), "", "", "1001")

    @asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        """Run the loop that reconciles due rows."""
        loop = asyncio.create_task(self.reconcile_loop.run())
        try:
            yield self
        except BaseException:
            self._open_gates()  # otherwise a failed test would hang on a gate that it no longer opens
            raise
        finally:
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)
            async with asyncio.timeout(DRAIN_LIMIT):
                await self.reconcile_loop.drain()
                await self.click_handler.drain()

    async def pass_time(self, key: RequestKey, seconds: float) -> None:
        """Let time pass and reconcile the request whenever it is due. Simulates hours within seconds."""
        until = self.clock.now() + timedelta(seconds=seconds)
        while (due := (await self.row(key)).requeue_at) is not None and due <= until:
            await self.clock.advance(max(0.0, (due - self.clock.now()).total_seconds()))
            await self.reconciler.reconcile(key)
        await self.clock.advance((until - self.clock.now()).total_seconds())

    def _open_gates(self) -> None:
        for outside in (self.aws, self.chat):
            for gate in getattr(outside, "gates", {}).values():  # the chat of a soak is the real one, without gates
                gate.set()


def code_of(answer: Answer) -> Reason | None:
    """Return the code of the answer's notice; None if it has no notice."""
    return answer.notice.code if answer.notice else None


def new_world(*channels: Channel, people: Sequence[Person] = (HANAKO, ICHIRO, TARO_PERSON), **more: object) -> World:
    """Return a new world. `more` has fields of World that replace the defaults."""
    clock = ManualClock()
    world = World(
        clock, FakeAws(clock), FakeChat(), FakePeople(people), MemoryStore(), current_configuration(*channels)
    )
    return replace(world, **more) if more else world  # type: ignore[arg-type]  # `more` holds fields of World
