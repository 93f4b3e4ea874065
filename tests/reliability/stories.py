"""The stories whose every moment a process crashes at: what people click, what happens in AWS, and when.

Stories with few seconds between their acts are about decisions. The others last minutes of the test's clock, because
reminders and escalations need time.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import time, timedelta

from bot.domain.identity import Person
from bot.domain.request import Verdict
from bot.domain.routing import Channel
from bot.domain.schedule.quiet_hours import QuietHours
from bot.ports.aws import SignalLost, SignalThrottled
from bot.service.clicks.click import Verb
from tests.fakes.aws import GIVE_BACK_ROLE, LEAD
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, TARO_PERSON
from tests.fakes.outside import MEI, NAMING, PRIYA, Outside
from tests.fakes.sessions import TOKEN_ROLE
from tests.fakes.world import APPROVALS, END_SESSIONS_ROLE, current_configuration

LEADS_CHANNEL = "19:leads@thread.tacv2"


@dataclass(frozen=True, slots=True)
class Click:
    """A person clicks a button at a step, on the card in this channel; or their client refreshes the card."""

    who: Person
    verb: Verb
    step: str
    where: str = CHANNEL


@dataclass(frozen=True, slots=True)
class Act:
    """Simultaneous clicks, and an event outside. The clicks are repeated while the first of them has no effect."""

    clicks: tuple[Click, ...] = ()
    event: Callable[[Outside], object] = lambda _: None  # in AWS, or a change of the file
    at: int = 0  # seconds between the clicks and the event


@dataclass(frozen=True, slots=True)
class Story:
    """The events in the life of one request.

    `before` and `after` are faults before and after the effect of a signal. `every` is for stories with many points:
    in continuous integration one crash point in so many is tested, at full size one second crash in so many.
    """

    name: str
    acts: tuple[Act, ...]
    before: tuple[type[Exception], ...] = ()
    after: tuple[type[Exception], ...] = ()
    lag: float = 0.0
    ends_sessions: bool = False  # the account has a role for it
    channels: tuple[Channel, ...] = (APPROVALS,)
    pause: timedelta = timedelta.resolution  # of points between which only time passes, one is tested in this time
    every: int = 1

    def outside(self) -> Outside:
        """Return the state outside the process at the start of the story."""
        role = END_SESSIONS_ROLE if self.ends_sessions else None
        configuration = current_configuration(*self.channels, end_sessions_role=role, give_back_role=GIVE_BACK_ROLE)
        outside = Outside.new(configuration)
        outside.aws.lag = self.lag
        outside.aws.before["signal"].extend(fault() for fault in self.before)
        outside.aws.after["signal"].extend(fault() for fault in self.after)
        return outside


def asked(levels: int, required: int = 1) -> Act:
    """Return the act in which a person requests access, and AWS sends an event to the queue."""

    def ask(outside: Outside) -> None:
        outside.queue.send(outside.aws.add(levels=levels, required=required, reason=NAMING))

    return Act(event=ask)


def pressed(step: str, *clicks: tuple[Person, Verb]) -> Act:
    """Return the act in which people click at a step at the same time."""
    return Act(tuple(Click(who, verb, step) for who, verb in clicks))


def taken_back(step: str, requester: Person, *approvers: Person) -> Act:
    """Return the act in which approvers revoke the access while its requester gives it back."""
    return Act((*(Click(who, Verb.REVOKE, step) for who in approvers), Click(requester, Verb.GIVE_BACK, "")))


def beside_a_vote(requester: Person, voter: Person) -> Act:
    """Return the act in which the requester cancels at the same time as a vote."""
    return Act((Click(requester, Verb.CANCEL, ""), Click(voter, Verb.REJECT, "Level1")))


def console(verdict: Verdict, *, after: Act | None = None) -> Act:
    """Return the act in which a person decides in the AWS console, and AWS sends an event to the queue.

    With `after`, its clicks come first.
    """

    def decide(outside: Outside) -> None:
        outside.aws.decide(outside.key, verdict, "from the console")
        outside.queue.send(outside.key)

    return replace(after, event=decide, at=5) if after else Act(event=decide)


def passed(seconds: int) -> Act:
    """Return the act in which only time passes."""
    return Act(at=seconds)


def configured(*channels: Channel) -> Act:
    """Return the act in which the file changes. Nothing tells the bot which rows that makes due: a sweep finds them."""
    value = current_configuration(*channels).value
    return Act(event=lambda outside: outside.configuration.replace(value))


def opened(*owners: str) -> Act:
    """Return the act in which people open sessions on the request's node."""

    def start(outside: Outside) -> None:
        for owner in owners:
            outside.sessions.open(outside.truth.node.id, outside.clock.now(), owner=f"{TOKEN_ROLE}/{owner}")

    return Act(event=start)


YES, NO, AWAY = Verb.APPROVE, Verb.REJECT, Verb.CANCEL
MARK, SEE, END = Verb.REVIEWING, Verb.REFRESH, Verb.END_SESSIONS
SOON, LATER, LAST = timedelta(seconds=65), timedelta(seconds=130), timedelta(seconds=200)
REMINDING = replace(  # the second reminder of the first level is held for 50 seconds
    APPROVALS,
    mention=(f"user:{HANAKO.object_id}",),
    remind_after=(SOON, LATER, LAST),
    quiet_hours=QuietHours(time(9, 2), time(9, 3)),
)
LEADS = Channel(
    "leads",
    LEADS_CHANNEL,
    approvers=("members",),
    approver_role=LEAD.replace("111122223333", "{account}"),
    decide=False,
)
ESCALATING = replace(APPROVALS, escalate_after=SOON, escalate_to="leads")
SPARSE = timedelta(seconds=20)
DECIDED = (asked(2), pressed("Level1", (HANAKO, YES)), pressed("Level2", (ICHIRO, YES)))
STORIES = (
    Story("approved", (asked(2), pressed("Level1", (HANAKO, YES), (ICHIRO, YES)), pressed("Level2", (MEI, YES)))),
    Story(
        "rejected",
        (asked(2, 2), pressed("Level1", (HANAKO, YES), (ICHIRO, YES)), pressed("Level2", (MEI, NO), (PRIYA, YES))),
        lag=1.5,
    ),
    Story("console", (asked(2), pressed("Level1", (HANAKO, YES), (HANAKO, YES)), console(Verdict.REJECT))),
    Story("overruled", (asked(1, 2), pressed("Level1", (HANAKO, YES), (MEI, YES), (ICHIRO, NO)))),
    Story("changed mind", (asked(1), pressed("Level1", (HANAKO, YES), (HANAKO, NO)))),
    Story(
        "lost",
        (asked(2), pressed("Level1", (HANAKO, YES), (ICHIRO, NO)), pressed("Level2", (MEI, YES))),
        after=(SignalLost,),
    ),
    Story(
        "never arrived",
        (asked(2), console(Verdict.APPROVE, after=pressed("Level1", (HANAKO, YES))), pressed("Level2", (ICHIRO, NO))),
        before=(SignalLost,),
    ),
    Story(
        "throttled",
        (asked(2), pressed("Level1", (HANAKO, YES), (MEI, YES)), pressed("Level2", (ICHIRO, YES))),
        before=(SignalThrottled, SignalThrottled),
    ),
    Story("revoked", (*DECIDED, taken_back("Level2", TARO_PERSON, HANAKO, MEI)), lag=1.5),
    Story(
        "revoked with its sessions",
        (
            asked(1),
            pressed("Level1", (HANAKO, YES)),
            opened(TARO_PERSON.session_name, TARO_PERSON.session_name, "nobody@example.com"),
            pressed("Level1", (HANAKO, END), (MEI, END)),
        ),
        ends_sessions=True,
        pause=SPARSE,
        every=2,
    ),
    Story(
        "cancelled",
        (
            asked(2, 2),
            pressed("Level1", (HANAKO, YES), (ICHIRO, YES)),
            pressed("", (TARO_PERSON, AWAY), (TARO_PERSON, AWAY)),
        ),
        lag=1.5,
    ),
    Story("cancelled beside a vote", (asked(2), beside_a_vote(TARO_PERSON, HANAKO)), after=(SignalLost,)),
    Story(
        "reminded",
        (
            asked(2),
            passed(182),
            pressed("Level1", (HANAKO, YES)),
            passed(131),
            pressed("Level2", (ICHIRO, YES), (HANAKO, YES)),
            passed(71),
        ),
        channels=(REMINDING,),
        pause=SPARSE,
        every=4,
    ),
    Story(
        "escalated after a pause",
        (
            asked(1, 2),
            passed(66),
            configured(ESCALATING, replace(LEADS, decide=True)),
            passed(61),
            Act((Click(MEI, YES, "Level1", LEADS_CHANNEL), Click(HANAKO, YES, "Level1"))),
        ),
        channels=(ESCALATING, LEADS),
        pause=SPARSE,
        every=4,
    ),
    Story(
        "reviewed",
        (
            asked(1),
            pressed("Level1", (HANAKO, MARK)),
            pressed("Level1", (PRIYA, SEE)),
            pressed("Level1", (ICHIRO, YES), (MEI, SEE), (TARO_PERSON, SEE)),
        ),
    ),
)
