"""The services and which of them has which: the same over AWS and Teams as over the tests' fakes. Starts nothing."""

from dataclasses import dataclass

from bot.ports.aws import Identities, Requests
from bot.ports.clock import Clock
from bot.ports.store import Store
from bot.ports.teams import Chat, People
from bot.service.arrivals import Arrivals
from bot.service.auditing import Auditing
from bot.service.commands import Commands
from bot.service.configured import Configured
from bot.service.converge import Convergence
from bot.service.decide import Deciding
from bot.service.delivery import Delivering
from bot.service.forgetting import Forgetting
from bot.service.looking import Looking
from bot.service.placing import Placing
from bot.service.rows import Rows
from bot.service.signalling import Signalling
from bot.service.sweep import Sweep
from bot.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Ports:
    """What is outside, as the services see it."""

    store: Store
    requests: Requests
    identities: Identities
    chat: Chat
    people: People
    clock: Clock


class Services:
    """One process's services. `owner` names it among others on the same store; `period` is the sweep's, in seconds."""

    def __init__(
        self, ports: Ports, *, configured: Configured, telemetry: Telemetry, owner: str, period: float
    ) -> None:
        store, requests, people, clock = ports.store, ports.requests, ports.people, ports.clock
        self.rows = Rows(store, clock)
        self.auditing = Auditing(store=store, clock=clock, telemetry=telemetry)
        self.signalling = Signalling(
            rows=self.rows, requests=requests, clock=clock, configured=configured, telemetry=telemetry
        )
        self.convergence = Convergence(
            rows=self.rows,
            requests=requests,
            placing=Placing(people=people, identities=ports.identities, configured=configured),
            delivering=Delivering(
                rows=self.rows, chat=ports.chat, people=people, clock=clock, owner=owner, telemetry=telemetry
            ),
            signalling=self.signalling,
            clock=clock,
            configured=configured,
            owner=owner,
            telemetry=telemetry,
        )
        self.looking = Looking(rows=self.rows, convergence=self.convergence, clock=clock, telemetry=telemetry)
        self.deciding = Deciding(
            rows=self.rows,
            people=people,
            signalling=self.signalling,
            clock=clock,
            configured=configured,
            telemetry=telemetry,
            auditing=self.auditing,
        )
        self.sweep = Sweep(
            rows=self.rows,
            requests=requests,
            clock=clock,
            configured=configured,
            period=period,
            owner=owner,
            telemetry=telemetry,
        )
        self.forgetting = Forgetting(store=store, clock=clock, telemetry=telemetry)
        self.commands = Commands(rows=self.rows, people=people, clock=clock, configured=configured)
        self.arrivals = Arrivals(rows=self.rows, clock=clock, telemetry=telemetry)
