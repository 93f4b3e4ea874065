"""Sample facts for the tests of bot.domain."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bot.domain.decision import Decision, DecisionState, Outcome
from bot.domain.effects import settle_unknown
from bot.domain.identity import Person, Principal, PrincipalKind, Requester, spellings_of
from bot.domain.record import Record
from bot.domain.request import AccessRequest, Approver, ApproverKind, Level, LevelState, Node, Status, Verdict, Vote
from bot.domain.routing import MEMBERS, Channel
from tests.fakes.aws import ROLE, TARO, key_of
from tests.fakes.chat import CHANNEL, TARO_PERSON

NOW = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
KEY = key_of(1)
TENANT_ID = TARO_PERSON.tenant_id
TARO_REQUESTER = Requester(
    Principal(TARO, PrincipalKind.SESSION, "Operator", "taro.yamada@example.com"),
    identified=True,
    spellings=TARO_PERSON.spellings | spellings_of(TARO),
    person=TARO_PERSON,
    name=TARO_PERSON.name,
)
APPROVALS = Channel("approvals", CHANNEL, (MEMBERS,), fallback=True)


def level(
    step: str = "Level1", *, required: int | None = 1, approvals: int | None = 0, state: LevelState = LevelState.WAITING
) -> Level:
    """Return a level, by default one that waits. With `approvals` None, its votes cannot be read."""
    votes = None if approvals is None else tuple(Vote(f"{ROLE}/{n}", Verdict.APPROVE) for n in range(approvals))
    return Level(step, state, required, (Approver(ApproverKind.ROLE, ROLE),), votes, NOW, timeout=timedelta(hours=1))


def request(*levels: Level, status: Status = Status.PENDING, **facts: object) -> AccessRequest:
    """Return a request with these levels; without any, it has one waiting level."""
    sample = AccessRequest(KEY, status, TARO, Node("i-02999bd501754105a"), execution_id="an-execution")
    sample = replace(sample, levels=levels or (level(),))
    return replace(sample, **facts)  # type: ignore[arg-type]  # facts are fields of the request


def decision(
    person: Person,
    verdict: Verdict = Verdict.APPROVE,
    state: DecisionState = DecisionState.CLAIMED,
    *,
    step: str = "Level1",
    settled_in: int = 0,
) -> Decision:
    """Return a decision of this person."""
    made = Decision(f"{person.object_id} {verdict} {step}", person, verdict, step, NOW, NOW + 25 * SECOND)
    return replace(made, state=state, settled_in=settled_in, settled_at=None if state.live else NOW)


def settled(
    unknown: Decision, asked: AccessRequest | None, *, seconds: float = 1
) -> tuple[DecisionState, Outcome | None]:
    """Settle a decision of unknown effect some seconds after its click; return its new state and outcome."""
    row = Record(KEY, NOW, request=asked).with_decision(unknown)
    after = settle_unknown(row, unknown, NOW + seconds * SECOND)
    return after.state, after.outcome
