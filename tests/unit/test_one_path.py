"""The one path on which anything reaches Teams or AWS, read from the source.

    an event came, a list differs, somebody clicked, AWS answered, time went by, a process died
        -> the row is due (`requeue`, `requeue_by`, `requeue_first`, …)                              DUE
        -> bot.service.reconcile.loop finds it, and is alone in calling `reconcile`               CONVERGE
        -> bot.service.reconcile.delivery is alone in writing to the channel and to the requester   CHAT
    somebody clicked
        -> a claim on the row -> bot.service.clicks.signalling is alone in sending to AWS        SIGNAL

What has no second way cannot be forgotten on it: a crash, a lost event and a second replica take the same one.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.ports.teams import Chat
from bot.service.rows import Rows

BOT = Path(__file__).parents[2] / "bot"
OTHER_SIDE = ("bot/sandbox", "bot/aws")  # the simulated outside, and AWS's adapter with calls of boto3's own names

CONVERGE = {"bot/service/reconcile/loop.py ReconcileLoop._reconcile"}
CHAT = {
    "bot/service/reconcile/delivery.py Delivery._post_card",
    "bot/service/reconcile/delivery.py Delivery._update_card",
    "bot/service/reconcile/delivery.py Delivery._send_note",
    "bot/service/reconcile/delivery.py Delivery._send_direct",
    "bot/teams/inbound/replies.py Replies.reply",  # the answer to a person's own message, to nobody else
    "bot/teams/inbound/replies.py Replies.notify",  # the answer to a person's own press, where the card cannot carry it
}
SIGNAL = {"bot/service/clicks/signalling.py Signalling._signalled"}
DUE = {
    "bot/service/sources/intake.py Intake._store": "an event came",
    "bot/service/sources/place_sweep.py PlaceSweep._requeue": "AWS's list differs: decided in the console, or an event was lost",
    "bot/service/clicks/orphan_cards.py OrphanCards.adopt_request": "a click told of a request that no row knew",
    "bot/service/clicks/orphan_cards.py OrphanCards._adopt": "a click told of a card that no row knew",
    "bot/service/clicks/attempt.py ClickAttempt._refused": "somebody clicked, and other rules had placed who asks",
    "bot/service/clicks/claiming.py claimed": "somebody clicked: due when their process should have been done",
    "bot/service/clicks/claiming.py promised": "a click takes longer: its card is not what was delivered",
    "bot/service/clicks/signalling.py Signalling._settle": "AWS answered a signal, or it was withdrawn",
    "bot/service/sources/installation_events.py _due": "the bot was put into a team: a channel that refused may take cards now",
    "bot/service/reconcile/outbox.py OutboxEntry.delivered": "a card that came late is one of two: it may show what is long past",
    "bot/service/reconcile/outbox.py OutboxEntry._kept": "written after the lease was lost: another process knew better",
    "bot/service/reconcile/outbox.py OutboxEntry.reconcile_again": "a delivery changed what Teams must show: a refusal, and its end",
    "bot/service/reconcile/reconciler.py Reconciler._end": "time alone changes it, or something could not be done yet",
    "bot/service/reconcile/reconciler.py Reconciler.put_off": "a look went wrong in a way that nobody foresaw",
    "bot/service/rows.py Rows.requeue": "the word for it that events and lists use",
}


@dataclass(frozen=True, slots=True)
class Use:
    """An attribute that is used somewhere: `where` is file and function, `of` the expression before the dot."""

    where: str
    of: str
    name: str


def uses() -> Iterator[Use]:
    """Return every attribute that the program uses; a method handed on uncalled is one too."""
    for path in sorted(BOT.rglob("*.py")):
        module = path.relative_to(BOT.parent).as_posix()
        for scope, node in _scoped(ast.parse(path.read_text()), ()):
            where = f"{module} {scope}"
            if isinstance(node, ast.Attribute):
                yield Use(where, ast.unparse(node.value), node.attr)
            if isinstance(node, ast.keyword) and node.arg:
                yield Use(where, "", f"{node.arg}=")


def _scoped(node: ast.AST, scope: tuple[str, ...]) -> Iterator[tuple[str, ast.AST]]:
    """Walk a tree; the scope is the method, and functions inside of it count as the method."""
    for child in ast.iter_child_nodes(node):
        inner = scope
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and len(scope) < 2:
            inner = (*scope, child.name)
        yield ".".join(inner), child
        yield from _scoped(child, inner)


def places(found: Iterable[Use]) -> set[str]:
    """Return where they are."""
    return {use.where for use in found}


@pytest.fixture(scope="module")
def used() -> list[Use]:
    """Every use in the program, apart from the other side of the ports."""
    return [use for use in uses() if not use.where.startswith(OTHER_SIDE)]


def test_converge_has_one_caller(used: list[Use]) -> None:
    """Only the finder of due rows looks at a request."""
    assert places(use for use in used if use.name == "reconcile") == CONVERGE


def test_what_is_due_has_a_list_of_reasons(used: list[Use]) -> None:
    """Whatever happens ends in the row being due, and each way to that is named here with its reason."""
    words = {"requeue", "requeue_by", "requeue_first", "requeue_soon", "requeue_at="}
    services = [use for use in used if use.where.startswith("bot/service/")]
    assert places(use for use in services if use.name in words) == set(DUE)


def test_a_restart_goes_on_from_what_is_due(used: list[Use]) -> None:
    """Nothing is done at the start but asking the store: what a dead process left is found as everything else is."""
    assert places(use for use in used if use.name == "due" and use.of == "self._rows.store") == {
        "bot/service/reconcile/loop.py ReconcileLoop._start_due"
    }


def test_teams_is_written_to_in_one_place(used: list[Use]) -> None:
    """Cards, notes and direct messages leave through delivery; replies answer only who spoke to the bot."""
    port = {name for name in vars(Chat) if not name.startswith("_")}
    assert port == {"post", "update", "reply", "direct"}
    chats = [use for use in used if use.name in port and use.of.rpartition(".")[2].strip("_") == "chat"]
    assert places(chats) == CHAT
    services = [use for use in used if use.name in port and use.where.startswith("bot/service/")]
    assert places(services) == {place for place in CHAT if place.startswith("bot/service/")}


def test_a_signal_leaves_in_one_place(used: list[Use]) -> None:
    """Only the carrier of a claimed decision sends it, and only one click or one look hands it a decision."""
    assert places(use for use in used if use.name == "signal" and "requests" in use.of) == SIGNAL
    assert places(use for use in used if use.name == "carry") == {
        "bot/service/clicks/attempt.py ClickAttempt.answer",
        "bot/service/reconcile/reconciler.py Reconciler._take_over",
    }


def test_rows_are_written_through_one_object(used: list[Use]) -> None:
    """No service writes to the store past `Rows`, which wakes whoever waits."""
    assert hasattr(Rows, "apply")
    services = [use for use in used if use.where.startswith("bot/service/") and use.name == "apply"]
    assert {use.of for use in services} == {"self._rows", "self", "self.store"}
    assert places(use for use in services if use.of == "self.store") == {"bot/service/rows.py Rows.apply"}


def test_a_use_is_seen_wherever_it_is() -> None:
    """The reading itself: a method called, one handed on, one in a function inside of a method, a keyword."""
    source = "class A:\n def f(self):\n  def g():\n   self.x.post(a=1)\n  run(self.x.reply)\n"
    nodes = [(scope, ast.unparse(node)) for scope, node in _scoped(ast.parse(source), ())]
    assert ("A.f", "self.x.post") in nodes
    assert ("A.f", "self.x.reply") in nodes
    assert ("A.f", "a=1") in nodes
