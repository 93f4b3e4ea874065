"""README.md against the code: what it documents is what there is."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import click
import pytest
from prometheus_client import CollectorRegistry
from pydantic.fields import FieldInfo

from bot.cli import main
from bot.config.file import parse_configuration
from bot.config.schema import TABLES
from bot.config.settings import Settings
from bot.config.types import NOT_AVAILABLE, Unavailable
from bot.domain.decision import TRANSITIONS, DecisionState
from bot.domain.record import SurfaceKind
from bot.ports.teams import ChatProblem
from bot.service.reconcile.refusal_policy import CONSEQUENCES, Consequence
from bot.telemetry import EVENTS, METRICS
from bot.telemetry.metrics import PREFIX, Kind, Metric
from bot.web import server

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def rows(section: str) -> list[tuple[str, ...]]:
    """Return the cells of a section's table, without its head."""
    return cells(README.partition(f"\n## {section}\n")[2].partition("\n## ")[0])


def table(*head: str) -> list[tuple[str, ...]]:
    """Return the cells of the one table with this head, without it."""
    _, found, rest = README.partition(f"\n| {' | '.join(head)} |\n")
    assert found, head
    return cells(f"{found}{rest.partition(chr(10) * 2)[0]}")


def cells(text: str) -> list[tuple[str, ...]]:
    """Return the cells of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]


def decision_diagram() -> str:
    """Draw the life of a decision from its transitions."""
    ends = [state for state in DecisionState if not any(start is state for start, _ in TRANSITIONS)]
    steps = [f"    {start} --> {end}: {event}" for (start, event), end in TRANSITIONS.items()]
    finals = [f"    {state} --> [*]" for state in ends]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {DecisionState.CLAIMED}", *steps, *finals, ""])


def default(name: str, field: FieldInfo) -> str:
    """Write a setting's default as the table does."""
    value = field.default
    if field.is_required():
        return "required"
    if name == "app_secret":  # required or forbidden, as the credential is: the meaning says it
        return ""
    texts = value if isinstance(value, tuple) else (value,)
    return ", ".join(f"`{each}`" for each in texts if each not in (None, ""))


def environment_name(name: str) -> str:
    """Return the variable of a setting."""
    foreign = {"region": "AWS_REGION", "identity_endpoint": "IDENTITY_ENDPOINT", "identity_header": "IDENTITY_HEADER"}
    return foreign.get(name, f"NODE_ACCESS_{name.upper()}")


def commands() -> Iterator[str]:
    """Yield every command as it is typed."""
    for name, command in main.commands.items():
        yield f"node-access-bot {name}"
        if isinstance(command, click.Group):
            yield from (f"node-access-bot {name} {inner}" for inner in command.commands)


def test_the_life_of_a_decision_is_drawn_from_the_transitions() -> None:
    """The README's diagram is the one transition table."""
    assert decision_diagram() in blocks("mermaid")


def test_every_setting_is_documented_with_its_default() -> None:
    """The table has each setting of the model once, with its default."""
    expected = {environment_name(name): default(name, field) for name, field in Settings.model_fields.items()}
    assert {name.strip("`"): shown for name, shown, _ in rows("Settings")} == expected


def test_every_command_is_documented() -> None:
    """The table has each command of the program, and no other."""
    assert {row[0].strip("`") for row in rows("Commands")} == set(commands())


def test_commands_that_are_not_available_are_marked_so() -> None:
    """What answers "not available yet" is documented so."""
    for name, meaning in rows("Commands"):
        command = main.commands[name.strip("`").split()[1]]
        assert (NOT_AVAILABLE in (command.help or "")) == meaning.startswith(NOT_AVAILABLE)


def test_the_example_file_is_accepted() -> None:
    """The node-access.toml of the README can be used as it is."""
    (example,) = blocks("toml")
    configuration = parse_configuration(example.encode())
    assert [channel.name for channel in configuration.channels] == ["production", "leads"]


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_key_of_the_file_is_documented(table: tuple[str, ...]) -> None:
    """The example has every key that works; the text lists those that are not available yet."""
    (example,) = blocks("toml")
    refused = README.partition(f"{NOT_AVAILABLE[0].upper()}{NOT_AVAILABLE[1:]}, and refused: ")[2].partition(".")[0]
    later = {
        name for name, field in TABLES[table].model_fields.items() if field.metadata == list(Unavailable.__metadata__)
    }
    for name in TABLES[table].model_fields:
        assert (f"`{name}`" in refused) if name in later else re.search(rf"\b{name}\b", example), name


def documented(metric: Metric) -> tuple[str, ...]:
    """Write a metric as the table does."""
    name = f"{PREFIX}{metric.name}{'_total' if metric.kind is Kind.COUNTER else ''}"
    return f"`{name}`", str(metric.kind), ", ".join(f"`{label}`" for label in metric.labels), metric.help


def test_every_metric_is_documented() -> None:
    """Under the name that Prometheus shows, with kind, labels and the words of /metrics."""
    assert table("metric", "kind", "labels", "meaning") == [documented(metric) for metric in METRICS]


def test_every_log_event_is_documented() -> None:
    """The table has each event once, with its words."""
    assert table("event", "meaning") == [(f"`{event}`", meaning) for event, meaning in EVENTS.items()]


def test_every_route_is_documented() -> None:
    """What the two ports answer, and nothing else."""

    async def nothing(*_: object) -> NoReturn:
        raise AssertionError

    apps = (server.build_app(messages=nothing, ready=nothing), server.build_metrics_app(CollectorRegistry()))
    routes = {
        f"`{route.method} {route.resource.canonical}`"
        for app in apps
        for route in app.router.routes()
        if route.resource and route.method != "HEAD"
    }
    assert {name for name, _ in table("route", "answer")} == routes


def test_the_pictures_are_there() -> None:
    """Each is a PNG of the repository, shown no wider than a card in Teams, with words for who cannot see it."""
    images = re.findall(r'<img src="([^"]+)" width="(\d+)" alt="[^"]{20,}">', README)
    assert len(images) == README.count("<img") == 2
    for path, width in images:
        assert (ROOT / path).read_bytes().startswith(b"\x89PNG\r\n")
        assert int(width) < 500


def test_the_test_command_is_the_one_that_ci_runs() -> None:
    """`.ci/run` ends with the README's own test command."""
    section = README.partition("\n## Develop\n")[2]
    documented = section.partition("```sh\n")[2].partition("\n```")[0]
    run = (ROOT / ".ci" / "run").read_text().strip().splitlines()
    assert run[-2:] == ["make check", documented]


def test_every_folder_of_tests_is_explained() -> None:
    """Who looks for the place of a test finds it in CONTRIBUTING, fakes included."""
    table = re.findall(r"^\| `(tests/\w+)` \|", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE)
    there = {f"tests/{path.relative_to(ROOT / 'tests').parts[0]}" for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(table) == {*there, "tests/fakes"}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_that_are_named_exist(name: str) -> None:
    """Each `make …` of the documents is a target of the Makefile."""
    text = (ROOT / name).read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)) <= targets


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_inside_the_repository_lead_somewhere(name: str) -> None:
    """A relative link names a file, and one to a heading names a heading of the same file."""
    text = (ROOT / name).read_text("utf-8")
    headings = {
        re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        elif "://" not in target:
            assert (ROOT / target).exists(), target


def test_every_refusal_of_teams_is_documented() -> None:
    """With what follows from it, for each kind of surface: the README's table is the program's."""
    said: dict[tuple[SurfaceKind, ChatProblem], str] = {}
    for problems, *cells_ in table("Teams says", "a card", "a note in its thread", "a direct message"):
        for problem, (kind, cell) in itertools.product(
            re.findall(r"`(\w+)`", problems), zip(SurfaceKind, cells_, strict=True)
        ):
            said[kind, ChatProblem(problem)] = cell
    assert said == {case: CONSEQUENCE_WORDS[consequence] for case, consequence in CONSEQUENCES.items()}


CONSEQUENCE_WORDS = {
    Consequence.STAND_IN: "stand-in",
    Consequence.REPOST: "posted anew",
    Consequence.TELL: "left out, the thread says so",
    Consequence.DROP: "left out",
    Consequence.WAIT: "tried again",
}


def test_every_proof_is_listed() -> None:
    """tests/README.md has a row for each file that prints a figure, and none for what is not there."""
    listed = re.findall(
        r"^\| \d+ \| .*? \| `(test_\w+\.py)` \|", (ROOT / "tests/README.md").read_text("utf-8"), re.MULTILINE
    )
    there = [path for room in ("reliability", "security", "e2e") for path in (ROOT / "tests" / room).glob("test_*.py")]
    assert sorted(listed) == sorted(
        path.name for path in there if re.search(r"\bfigure\(\s*\d", path.read_text("utf-8"))
    )


def test_every_threat_has_its_test() -> None:
    """SECURITY.md's table names for each threat a test that there is."""
    threats = (ROOT / "SECURITY.md").read_text("utf-8").partition("## Threats")[2].partition("## Accepted")[0]
    named = re.findall(r"^\| (?!threat|---).*\| `(test_\w+)` \|$", threats, re.MULTILINE)
    assert len(named) == len([line for line in threats.splitlines() if line.startswith("|")]) - 2
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    assert set(named) - there == set()
