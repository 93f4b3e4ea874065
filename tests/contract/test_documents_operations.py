"""Compares infra/docs/operations.md with the code: routes, commands, metrics, log events, refusals, audit trail."""

import itertools
import re
from collections.abc import Iterator
from typing import NoReturn

import click
from prometheus_client import CollectorRegistry

from bot.cli import main
from bot.domain.audit import CLICKED, END_EVENTS, ENDING_STOPPED, SESSION_ENDED, SESSION_OPENED
from bot.domain.audit import EVENTS as STEPS
from bot.domain.shown.views import REASONS
from bot.ports.teams import ChatProblem
from bot.service.deliver.retry_policy import CONSEQUENCES, Consequence, Task
from bot.telemetry import EVENTS, METRICS
from bot.telemetry.metrics import PREFIX, Kind, Metric
from bot.web import server
from tests.contract import documents

TEXT = documents.read(documents.OPERATIONS)
CONSEQUENCE_WORDS = {
    Consequence.STAND_IN: "fallback card",
    Consequence.REPOST: "posted again",
    Consequence.TELL: "skipped, noted in the thread",
    Consequence.DROP: "skipped",
    Consequence.WAIT: "retried",
}


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command, with its name as a person types it."""
    for name, command in main.commands.items():
        yield f"node-access-bot {name}", command
        if isinstance(command, click.Group):
            yield from ((f"node-access-bot {name} {inner}", each) for inner, each in command.commands.items())


def documented_commands() -> list[str]:
    """Return the first column of the table of commands."""
    return [row[0].strip("`") for row in documents.table(TEXT, "command", "does")]


def test_every_command_is_documented() -> None:
    """The rows are exactly the commands that exist."""
    assert sorted(documented_commands()) == sorted(name for name, _ in commands())


def documented(metric: Metric) -> tuple[str, ...]:
    """Return a metric's row as the table shows it."""
    name = f"{PREFIX}{metric.name}{'_total' if metric.kind is Kind.COUNTER else ''}"
    return f"`{name}`", str(metric.kind), ", ".join(f"`{label}`" for label in metric.labels), metric.help


def test_every_metric_is_documented() -> None:
    """The table has each metric's name in Prometheus, its kind, labels and description."""
    assert documents.table(TEXT, "metric", "kind", "labels", "meaning") == [documented(metric) for metric in METRICS]


def test_documented_metrics_exist() -> None:
    """Every name of a metric in a document, for example in an alert, exists."""
    known = {documented(metric)[0].strip("`") for metric in METRICS}
    for name in documents.names():
        assert set(re.findall(rf"\b{PREFIX}(?!bot)[a-z_]+\b", documents.read(name))) <= known, name


def test_every_log_event_is_documented() -> None:
    """The table has each event once, with its description."""
    assert documents.table(TEXT, "event", "meaning") == [(f"`{event}`", meaning) for event, meaning in EVENTS.items()]


def test_every_route_is_documented() -> None:
    """The table has exactly the routes of the two ports."""

    async def nothing(*_: object) -> NoReturn:
        raise AssertionError

    apps = (
        server.build_app(messages=nothing, ready=nothing),
        server.build_metrics_app(CollectorRegistry(), ready=nothing),
    )
    routes = {
        f"`{route.method} {route.resource.canonical}`"
        for app in apps
        for route in app.router.routes()
        if route.resource and route.method != "HEAD"
    }
    assert {name for name, _ in documents.table(TEXT, "route", "answer")} == routes


def test_every_refusal_of_teams_is_documented() -> None:
    """The table has the program's consequence for each refusal and task."""
    consequences: dict[tuple[Task, ChatProblem], str] = {}
    columns = ("Teams says", "a new card", "an update of a card", "a note in its thread", "a direct message")
    for problems, *cells in documents.table(TEXT, *columns):
        for problem, (task, cell) in itertools.product(re.findall(r"`(\w+)`", problems), zip(Task, cells, strict=True)):
            consequences[task, ChatProblem(problem)] = cell
    assert consequences == {case: CONSEQUENCE_WORDS[consequence] for case, consequence in CONSEQUENCES.items()}


def test_every_entry_of_the_audit_trail_is_documented() -> None:
    """The table has every kind of entry that `node-access-bot audit` can print."""
    named = [name for row in documents.table(TEXT, "entry", "meaning") for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(
        [CLICKED, *STEPS.values(), SESSION_OPENED, SESSION_ENDED, *END_EVENTS.values(), ENDING_STOPPED]
    )


def test_every_outcome_of_a_click_is_explained() -> None:
    """The runbook explains each code that `click_answered` can log, once."""
    rows = documents.table(TEXT, "`outcome`", "what happened", "what to do")
    named = [code for row in rows for code in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(["shown", *REASONS])
