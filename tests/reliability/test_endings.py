"""Figure 29: people have overlapping access to nodes, and the sessions of one are ended. None of another's ever is.

AWS names no access request in a session, so each session is attributed by node, start and owner, in every form in which
AWS may list it. Sessions open and close between the reads.
"""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from bot.domain.access.endings import (
    Ending,
    EndingStage,
    EndState,
    Found,
    after_read,
    found_in,
    next_planned,
    scheduled,
    with_state,
)
from bot.domain.access.sessions import Access, AccessType, ListedSession, Others, session_names
from tests.fakes.chat import HANAKO
from tests.figures import Figure, size

NOW: Final = datetime(2026, 4, 1, 14, tzinfo=UTC)
MINUTE: Final = timedelta(minutes=1)
ACCOUNT: Final = "arn:aws:sts::111122223333:assumed-role"
TOKEN_ROLE: Final = f"{ACCOUNT}/SSM-JustInTimeAccessTokenRole"
OWNERS: Final = {"named": TOKEN_ROLE + "/{}", "random": f"{TOKEN_ROLE}/9c21", "absent": ""}
SEEDS: Final = size(ci=300, long=10_000)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("typed", [True, False], ids=["type shown", "type hidden"])
@pytest.mark.parametrize("owner", OWNERS)
def test_no_session_of_another_person_is_ever_ended(owner: str, *, typed: bool, figure: Figure) -> None:
    """Seeded overlaps of several requesters on two nodes, while sessions open and close between the reads."""
    chance = random.Random(f"{owner} {typed}")
    ended, others_ended = 0, 0
    for _ in range(SEEDS):
        asked = list(_Overlap(chance, owner, typed=typed).play())
        ended += sum(asked)
        others_ended += len(asked) - sum(asked)
    figure(29, seeds=SEEDS, owner=owner, typed=typed, ended=ended, others_ended=others_ended)
    assert others_ended == 0
    assert bool(ended) == typed


def access(name: str, node: str, role: str) -> Access:
    """Return access to a node. Its times are set later."""
    requester = f"{ACCOUNT}/{role}/{name}"
    return Access(requester, requester, session_names(requester), frozenset({node}), NOW, NOW)


class _Overlap:
    """Several requesters with overlapping access to two nodes. They open sessions; those of one requester are ended."""

    def __init__(self, chance: random.Random, owner: str, *, typed: bool) -> None:
        self._chance, self._owner, self._typed, self._at = chance, owner, typed, NOW
        names = ["taro", "jiro", "saburo", "taro"]  # the last is another person of the same name
        people = [access(name, chance.choice(["i-a", "i-b"]), f"Role{n}") for n, name in enumerate(names)]
        people = chance.sample(people, chance.randrange(1, 5))
        self._people = [replace(each, begins=NOW - self._minutes(), ends=NOW + self._minutes()) for each in people]
        self._target = chance.choice(self._people)
        if chance.random() < 0.2:  # the same requester has further access
            self._people.append(replace(self._target, request="second", begins=NOW - self._minutes()))
        self._open = dict[str, tuple[Access, ListedSession]]()
        self._ended = list[ListedSession]()
        self._opened = 0

    def play(self) -> Iterator[bool]:
        """Yield for each session that AWS is asked to end whether it is one of the target's requester."""
        current = Ending("e", HANAKO, "Level1", NOW, next_at=NOW)
        for _ in range(12):
            self._change()
            current = after_read(current, self._read(), self._at)
            asked = next_planned(current) if current.rounds and self._was_planned else None
            if asked:
                yield self._open[asked.id][0].requester == self._target.requester
                current = with_state(current, asked.id, EndState.ASKED, at=self._at)
                if self._chance.random() < 0.8:  # AWS may accept the call without an effect
                    self._ended.append(replace(self._open.pop(asked.id)[1], open=False))
            current = scheduled(current, self._target, self._at, called=asked is not None)
            if current.stage is EndingStage.OVER:
                return
            self._was_planned = next_planned(current) is not None
            self._at = max(self._at, current.next_at or self._at)

    _was_planned = False

    def _change(self) -> None:
        for _ in range(self._chance.randrange(3)):
            opener = self._chance.choice(self._people)
            name = self._owner.format(opener.requester.rpartition("/")[2])
            latest = max(opener.begins, min(self._at, opener.ends))
            begun = opener.begins + self._chance.random() * (latest - opener.begins)
            kind = AccessType.JUST_IN_TIME if self._typed else None
            self._opened += 1
            made = ListedSession(f"s-{self._opened}", min(opener.nodes), True, name, kind, begun)
            self._open[made.id] = (opener, made)

    def _read(self) -> Found:
        others = Others(tuple(each for each in self._people if each is not self._target), complete=True)
        listed = [*self._ended, *(each for _, each in self._open.values())]
        return found_in(listed, self._target, others, clicked_at=NOW, now=self._at)

    def _minutes(self) -> timedelta:
        return self._chance.randrange(1, 90) * MINUTE
