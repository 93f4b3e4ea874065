"""All changes reach Teams and AWS on one path. The tests search the source for modules and public names.

    an event, a difference in AWS's lists, a click, a reply of AWS, a time limit, a crashed process
        -> the row becomes due (`requeue`, `requeue_by`, `requeue_first`, …)                       REQUEUED_BY
        -> bot.service.reconcile.loop finds it, and nothing else calls `reconcile`
        -> bot.service.deliver.delivery, and nothing else in bot.service, writes to Teams
    a click
        -> a claim on the row -> bot.service.decisions.signal_attempt, and nothing else, sends to AWS
        -> an ending in the row -> bot.service.reconcile.ending, and nothing else, ends sessions

A crash, a lost event and a second replica take the same path, so none of them needs separate code.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.ports.teams import Chat
from bot.service.rows import Rows

BOT = Path(__file__).parents[2] / "bot"
SERVICE = "bot.service."
NOT_SEARCHED = ("bot.sandbox.", "bot.aws.")  # the simulators, and the adapter that calls boto3 by boto3's own names

REQUEUED_BY = {
    "bot.service.sources.intake": "an event arrived",
    "bot.service.sources.place_sweep": "AWS's list differs: a decision in the console, or a lost event",
    "bot.service.sources.installation_events": "the bot was added to a team: a channel that refused may take cards now",
    "bot.service.clicks.orphan_cards": "a click revealed a request or a card that no row has",
    "bot.service.clicks.attempt": "the requester was identified by rules that have changed since",
    "bot.service.clicks.claiming": "a claim must be continued if its process dies, or its outcome was promised",
    "bot.service.clicks.ending_sessions": "a person ends open sessions, or the rules have changed",
    "bot.service.decisions.held_decision": "AWS answered a signal, or the decision was withdrawn or left to others",
    "bot.service.clicks.retracting": "a person took their own decision back",
    "bot.service.clicks.reviewing": "the card names another reviewer, or the mark ends; or the rules have changed",
    "bot.service.deliver.outbox": "a delivery changed what Teams must show, or the lease was lost before it",
    "bot.service.reconcile.reconciler": "time changes what Teams must show, or something could not be done yet",
    "bot.service.rows": "defines `requeue`",
}

Sources = Mapping[str, str]  # module -> source text


@dataclass(frozen=True, slots=True)
class Use:
    """An attribute or keyword that a module uses. `of` is the last name before the dot, without underscores."""

    module: str
    of: str
    name: str


def uses(sources: Sources) -> Iterator[Use]:
    """Yield every attribute and keyword in the sources, including a method that is passed on without a call."""
    for module, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Attribute):
                yield Use(module, ast.unparse(node.value).rpartition(".")[2].strip("_"), node.attr)
            if isinstance(node, ast.keyword) and node.arg:
                yield Use(module, "", f"{node.arg}=")


def modules(used: Iterable[Use], *names: str, of: str | None = None, under: str = "bot.") -> set[str]:
    """Return the modules below `under` that use one of the names.

    With `of`, count only uses on a receiver of that name.
    """
    found = (use for use in used if use.name in names and of in {None, use.of})
    return {use.module for use in found if use.module.startswith(under)}


@pytest.fixture(scope="module")
def used() -> Sequence[Use]:
    """Return every use in the program, without the parts that are not searched."""
    files = {".".join(path.relative_to(BOT.parent).with_suffix("").parts): path for path in BOT.rglob("*.py")}
    return tuple(uses({name: path.read_text() for name, path in files.items() if not name.startswith(NOT_SEARCHED)}))


def test_only_the_reconcile_loop_calls_reconcile(used: Sequence[Use]) -> None:
    """Requests are reconciled only by the loop that finds due rows."""
    assert modules(used, "reconcile") == {"bot.service.reconcile.loop"}


def test_control_search_finds_a_second_caller_of_reconcile(used: Sequence[Use]) -> None:
    """If another module calls `reconcile`, the search finds that module."""
    second = "async def sweep(self, key):\n    await self._rows.reconcile(key)\n"
    assert "bot.service.second" in modules([*used, *uses({"bot.service.second": second})], "reconcile")


def test_every_module_that_makes_a_row_due_is_listed(used: Sequence[Use]) -> None:
    """REQUEUED_BY has exactly these modules of bot.service."""
    names = "requeue", "requeue_by", "requeue_first", "requeue_soon", "requeue_at="
    assert modules(used, *names, under=SERVICE) == set(REQUEUED_BY)


def test_only_one_module_ends_sessions(used: Sequence[Use]) -> None:
    """Permission and whose each session is are checked in it, right before the call."""
    assert modules(used, "end", of="sessions") == {"bot.service.reconcile.ending"}


def test_only_the_reconcile_loop_asks_the_store_for_due_rows(used: Sequence[Use]) -> None:
    """After a restart, work continues from these rows."""
    assert modules(used, "due", of="store") == {"bot.service.reconcile.loop"}


def test_only_delivery_digests_replies_and_doctor_use_the_chat_port(used: Sequence[Use]) -> None:
    """Only delivery sends cards, notes and direct messages. Replies go only to a person who wrote or clicked.

    The weekly digest is of no request.

    doctor sends a test message if an admin asks for it.
    """
    port = {name for name in vars(Chat) if not name.startswith("_")}
    assert port == {"post", "update", "reply", "reply_to_one", "direct"}
    others = {"bot.teams.inbound.replies", "bot.doctor.messages"}
    services = {"bot.service.deliver.delivery", "bot.service.weekly_digests"}
    assert modules(used, *port, of="chat") == {*services, *others}
    assert modules(used, *port, under=SERVICE) == services


def test_only_one_module_sends_signals_to_aws(used: Sequence[Use]) -> None:
    """Only one module sends signals to AWS. Its decisions come from a click, or from reconciling after a crash."""
    assert modules(used, "signal", of="requests") == {"bot.service.decisions.signal_attempt"}
    assert modules(used, "run", of="attempt") == {"bot.service.decisions.signalling"}
    assert modules(used, "carry") == {"bot.service.clicks.attempt", "bot.service.decisions.signalling"}
    assert modules(used, "take_over") == {"bot.service.reconcile.recovering"}


def test_services_write_rows_only_through_the_class_rows(used: Sequence[Use]) -> None:
    """Services write rows only through `Rows`, which wakes the tasks that wait for a row."""
    assert hasattr(Rows, "apply")
    assert modules(used, "apply", of="store", under=SERVICE) == {"bot.service.rows"}
    assert {use.of for use in used if use.name == "apply" and use.module.startswith(SERVICE)} == {
        "rows",
        "self",
        "store",
    }


def test_search_of_the_sources_finds_calls_references_nested_uses_and_keywords() -> None:
    """The search finds a call, a method passed as an argument, a use in a nested function, and a keyword argument."""
    source = "class A:\n def f(self):\n  def g():\n   self._x.post(a=1)\n  run(self.x.reply)\n"
    assert set(uses({"m": source})) >= {Use("m", "x", "post"), Use("m", "x", "reply"), Use("m", "", "a=")}
