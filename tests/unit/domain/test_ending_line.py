"""What cards and messages say about the end of sessions."""

from dataclasses import replace
from typing import Any, Final

import pytest

from bot.domain.access.endings import EndedSession, Ending, EndingStage, EndState, Stopped
from bot.domain.access.sessions import Whose
from bot.domain.decision import DecisionState
from bot.domain.record import Record
from bot.domain.request import Withdrawal
from bot.domain.shown.usage import ending_line
from tests.fakes.chat import HANAKO
from tests.unit.domain.sample import KEY, NOW, decision

REVOCATION: Final = replace(decision(HANAKO, state=DecisionState.CONFIRMED), verdict=Withdrawal.REVOKE)


def row(*states: EndState, **changed: Any) -> Record:
    """Return a row with an ending of sessions in these states, after a revocation that AWS accepted. `changed` has fields of the ending."""
    sessions = tuple(
        EndedSession(f"s-{number}", "i-a", Whose.NAMED, state, detail="Denied" if state is EndState.DENIED else "")
        for number, state in enumerate(states)
    )
    made = Ending("e", HANAKO, "Level1", NOW, comment="Why", revocation=REVOCATION.id, sessions=sessions, rounds=1)
    return Record(KEY, NOW, decisions=(REVOCATION,), endings=(replace(made, **changed),))


def test_each_session_is_counted_once_by_what_is_known_of_it() -> None:
    """What is planned or asked for is being ended. The link is there as long as a session may be open."""
    assert ending_line(Record(KEY, NOW)) is None
    line = ending_line(row(*EndState, left=2))
    assert line is not None
    assert (line.running, line.ended, line.unconfirmed, line.refused, line.left) == (2, 1, 1, 2, 2)
    assert (line.who, line.at, line.detail) == (HANAKO.shown_name, NOW, "Denied")
    assert line.sessions_url
    done = ending_line(row(EndState.ENDED))
    assert done is not None
    assert done.sessions_url is None


def test_the_comment_is_shown_once() -> None:
    """The revocation has it, if there is one."""
    both, alone = ending_line(row()), ending_line(row(revocation=""))
    assert both is not None
    assert alone is not None
    assert (both.comment, alone.comment) == ("", "Why")


@pytest.mark.parametrize(
    ("state", "stopped", "unknown"),
    [
        (DecisionState.CONFIRMED, None, False),
        (DecisionState.UNKNOWN, None, True),
        (DecisionState.RELEASED, None, True),  # AWS never showed it
        (DecisionState.RELEASED, Stopped.NOT_REVOKED, False),
        (DecisionState.CLAIMED, None, False),
    ],
)
def test_a_revocation_without_an_answer_is_said(
    state: DecisionState, stopped: Stopped | None, *, unknown: bool
) -> None:
    """Sessions are ended all the same. If nothing was ended because of it, that is said instead."""
    stage = EndingStage.WAITS if state is DecisionState.CLAIMED else EndingStage.RUNS
    line = ending_line(replace(row(stopped=stopped, stage=stage), decisions=(replace(REVOCATION, state=state),)))
    assert line is not None
    assert (line.unknown_revocation, line.waits) == (unknown, stage is EndingStage.WAITS)


def test_a_delay_is_said_until_the_ending_stops() -> None:
    """Then the reason is said."""
    delayed, over = ending_line(row(failures=3)), ending_line(row(failures=3, stopped=Stopped.UNREADABLE))
    assert delayed is not None
    assert over is not None
    assert (delayed.delayed, over.delayed, over.stopped) == (True, False, Stopped.UNREADABLE)
