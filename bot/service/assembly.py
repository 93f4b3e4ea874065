"""Builds all services from the ports, which are real adapters or the fakes of tests. Does not start them."""

from dataclasses import dataclass

from bot.domain.shown.links import TeamsSite
from bot.ports.aws import Identities, Requests, Sessions
from bot.ports.clock import Clock
from bot.ports.probes import AwsProbes, TeamsProbes
from bot.ports.store import Store
from bot.ports.teams import Chat, Groups, People
from bot.service.approver_groups import ApproverGroups
from bot.service.auditing import Auditing
from bot.service.checks.installation import Installation
from bot.service.checks.loop import Checks
from bot.service.checks.outcomes import Outcomes
from bot.service.clicks.click_handler import ClickHandler
from bot.service.commands import CommandService
from bot.service.current_configuration import CurrentConfiguration
from bot.service.decisions.permission_check import PermissionCheck
from bot.service.decisions.queue import DecisionQueue
from bot.service.decisions.signal_attempt import SignalServices
from bot.service.decisions.signalling import Signalling
from bot.service.deliver.deliveries import Deliveries
from bot.service.jump_links import JumpLinks
from bot.service.reconcile.earlier_access import EarlierAccess
from bot.service.reconcile.ending import SessionEndings
from bot.service.reconcile.identifying import Identifying
from bot.service.reconcile.loop import ReconcileLoop
from bot.service.reconcile.reconciler import Reconciler
from bot.service.replicas import Replicas
from bot.service.retention import Retention
from bot.service.rows import Rows
from bot.service.sources.installation_events import InstallationEvents
from bot.service.sources.place_sweep import SweepServices
from bot.service.sources.session_watch import SessionWatch
from bot.service.sources.sweep import Sweep
from bot.service.store_check import StoreCheck
from bot.service.weekly_digests import WeeklyDigests
from bot.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Ports:
    """The adapters through which the services reach AWS, Teams, the store and the clock."""

    store: Store
    requests: Requests
    identities: Identities
    sessions: Sessions
    chat: Chat
    people: People
    groups: Groups
    clock: Clock
    teams_probes: TeamsProbes
    aws_probes: AwsProbes


class Services:
    """The services of one process. `owner` is the id of the process, which its leases contain.

    `period` is the time in seconds between two sweeps of an account and Region. `replicas` is the number of processes
    that share the store and AWS's quotas. The checks use `app_id`, the bot's app id, and `has_queue`, which is True if
    a queue for events is configured. `site` is where links to messages lead.
    """

    def __init__(
        self,
        ports: Ports,
        *,
        configuration: CurrentConfiguration,
        telemetry: Telemetry,
        owner: str,
        period: float,
        outcomes: Outcomes,
        app_id: str,
        has_queue: bool,
        site: TeamsSite,
        replicas: int = 1,
    ) -> None:
        store, requests, people, clock = ports.store, ports.requests, ports.people, ports.clock
        self.replicas = Replicas(store=store, clock=clock, telemetry=telemetry, owner=owner, expected=replicas)
        self.rows = Rows(store, clock, storable=self.replicas.storable)
        self.auditing = Auditing(store=store, clock=clock, telemetry=telemetry)
        groups = ApproverGroups(ports.groups)
        permission = PermissionCheck(people, groups, configuration)
        links = JumpLinks(store, site)
        self.signalling = Signalling(
            SignalServices(
                rows=self.rows,
                requests=requests,
                permission=permission,
                clock=clock,
                configuration=configuration,
                telemetry=telemetry,
                outcomes=outcomes,
            ),
            DecisionQueue(replicas=replicas),
        )
        self.reconciler = Reconciler(
            rows=self.rows,
            requests=requests,
            identifying=Identifying(
                people=people,
                groups=groups,
                identities=ports.identities,
                configuration=configuration,
                outcomes=outcomes,
                clock=clock,
            ),
            earlier_access=EarlierAccess(store, clock),
            deliveries=Deliveries(
                rows=self.rows,
                chat=ports.chat,
                people=people,
                groups=groups,
                configuration=configuration,
                links=links,
                clock=clock,
                owner=owner,
                telemetry=telemetry,
                outcomes=outcomes,
            ),
            signalling=self.signalling,
            session_endings=SessionEndings(
                rows=self.rows,
                sessions=ports.sessions,
                permission=permission,
                clock=clock,
                configuration=configuration,
                telemetry=telemetry,
                outcomes=outcomes,
            ),
            clock=clock,
            configuration=configuration,
            owner=owner,
            telemetry=telemetry,
            outcomes=outcomes,
            abilities=self.replicas.abilities,
        )
        self.reconcile_loop = ReconcileLoop(
            rows=self.rows, reconciler=self.reconciler, clock=clock, telemetry=telemetry
        )
        self.click_handler = ClickHandler(
            rows=self.rows,
            permission=permission,
            people=people,
            groups=groups,
            signalling=self.signalling,
            clock=clock,
            configuration=configuration,
            telemetry=telemetry,
            auditing=self.auditing,
            abilities=self.replicas.abilities,
        )
        self.session_watch = SessionWatch(
            rows=self.rows,
            sessions=ports.sessions,
            clock=clock,
            configuration=configuration,
            telemetry=telemetry,
            owner=owner,
            period=period,
        )
        self.sweep = Sweep(
            SweepServices(
                rows=self.rows,
                requests=requests,
                clock=clock,
                configuration=configuration,
                telemetry=telemetry,
                owner=owner,
                period=period,
                outcomes=outcomes,
                session_watch=self.session_watch,
            )
        )
        installation = Installation(
            configuration=configuration,
            teams=ports.teams_probes,
            aws=ports.aws_probes,
            people=people,
            groups=ports.groups,
            outcomes=outcomes,
            app_id=app_id,
            has_queue=has_queue,
        )
        self.checks = Checks(installation.checks, configuration=configuration, clock=clock, telemetry=telemetry)
        self.store_check = StoreCheck(store=store, clock=clock, telemetry=telemetry, period=period)
        self.retention = Retention(store=store, clock=clock, telemetry=telemetry)
        self.weekly_digests = WeeklyDigests(
            store=store, chat=ports.chat, clock=clock, configuration=configuration, telemetry=telemetry, owner=owner
        )
        self.commands = CommandService(
            rows=self.rows,
            people=people,
            permission=permission,
            clock=clock,
            configuration=configuration,
            links=links,
        )
        self.installs = InstallationEvents(rows=self.rows, clock=clock, telemetry=telemetry)
