"""bot.telemetry.logs: what is logged, and what never is."""

import ast
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog

from bot.telemetry import EVENTS, configure_logging
from bot.telemetry.logs import REDACTED, redact

ROOT = Path(__file__).parents[3]
LEVELS = {"debug", "info", "warning", "error", "exception"}
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2lnbmF0dXJl"

Logged = Callable[[], str]


@pytest.fixture(params=["json", "console"])
def logged(request: pytest.FixtureRequest) -> Iterator[Logged]:
    """Set up the logs; return what reads them."""
    yield from _logged(request.param)


@pytest.fixture
def json_logged() -> Iterator[Logged]:
    """The same, as JSON."""
    yield from _logged("json")


def _logged(form: Literal["json", "console"]) -> Iterator[Logged]:
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    root.handlers = []  # what pytest put there must not be closed
    configure_logging(format=form, level="info", stream=stream)
    yield stream.getvalue
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)


def line_of(logged: Logged) -> dict[str, Any]:
    (line,) = logged().splitlines()
    parsed = json.loads(line)
    assert isinstance(parsed, dict)
    return parsed


# --- the events


def events_of(tree: ast.AST) -> Iterator[str]:
    """Yield the events that a module logs, through `log` or a method of it that it calls `write`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
            continue
        called = ast.unparse(node.func)
        if called == "write" or (called.startswith("log.") and called.removeprefix("log.") in LEVELS):
            yield str(node.args[0].value)


def test_every_event_is_listed_and_every_listed_event_is_logged() -> None:
    """EVENTS is the whole truth about what the program logs."""
    sources = [ast.parse(path.read_text()) for path in (ROOT / "bot").rglob("*.py")]
    assert {event for tree in sources for event in events_of(tree)} == set(EVENTS)


def test_events_are_named_for_what_happened() -> None:
    """A noun and what became of it, in small letters; each with a line of explanation."""
    assert not [event for event in EVENTS if not re.fullmatch(r"[a-z]+(_[a-z]+)+", event)]
    assert all(EVENTS.values())


# --- lines


def test_a_line_is_an_event_with_its_fields(json_logged: Logged) -> None:
    """One JSON object per line on stderr, with moment, level and what is bound."""
    with structlog.contextvars.bound_contextvars(request="r/1"):
        structlog.get_logger().info("bot_started", ports=(1, 2), who="佐藤")
    line = line_of(json_logged)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line.pop("timestamp"))
    assert line == {"event": "bot_started", "level": "info", "ports": [1, 2], "request": "r/1", "who": "佐藤"}


def test_a_line_break_does_not_make_a_second_line(json_logged: Logged) -> None:
    """Nobody writes into the log by choosing a name."""
    structlog.get_logger().info("bot_started", who='x\n{"event": "forged"}')
    assert line_of(json_logged)["event"] == "bot_started"


@pytest.mark.parametrize(
    "mark",
    ["\x1b[2K\x1b[1A", "\x9b2J", "\x00", "\x08", "\x7f", "\x0b", "\x0c", "\r", "\x85", "\u2028", "\u202e", "\u2066"],
)
def test_what_a_terminal_would_act_upon_is_spelt_out(logged: Logged, mark: str) -> None:
    """A display name or an id wipes no line, makes none and turns none round; words of every script stay."""
    structlog.get_logger().info("card_adopted", person=f"佐藤\u3000花子{mark}x")
    logging.getLogger("library").warning("what%sx", mark)
    shown = logged()
    assert len(shown.splitlines()) == 2
    assert not set(shown) & set(mark) - set("[2K1AJ")
    assert "佐藤\u3000花子" in shown


def test_what_is_below_the_level_is_not_logged(logged: Logged) -> None:
    """Nor are the lines of libraries below warning, whose debug lines carry signed headers."""
    structlog.get_logger().debug("bot_started")
    logging.getLogger("botocore").info("signed")
    assert logged() == ""


def test_libraries_log_in_the_same_form(json_logged: Logged) -> None:
    """A library's warning is a line like any other, with the library's name."""
    logging.getLogger("asyncio").warning("slow: %s", 3)
    line = line_of(json_logged)
    assert (line["event"], line["level"], line["logger"]) == ("slow: 3", "warning", "asyncio")


# --- what never appears


@pytest.mark.parametrize(
    "name",
    [
        "token", "access_token", "AccessToken", "secret", "client_secret", "SecretAccessKey", "Authorization",
        "password", "credential", "client_assertion", "cookie", "x-amz-signature", "api_key", "privateKey",
    ],
)  # fmt: skip
def test_what_is_named_like_a_secret_is_blank(logged: Logged, name: str) -> None:
    """At any depth, whatever it holds."""
    structlog.get_logger().info("bot_started", **{name: "hunter2"}, inside={"deep": [{name: b"hunter2"}]})
    line = logged()
    assert "hunter2" not in line
    assert line.count(REDACTED) == 2


class Wrapped:
    """Something whose text has a secret in it."""

    def __str__(self) -> str:
        return f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    "value",
    [
        TOKEN,
        f"Authorization: Bearer {TOKEN}",
        b"bearer opaque-" + TOKEN.encode(),
        f"https://x.example.com/?access_token={TOKEN}&a=1",
        f"client_secret={TOKEN}",
        [f"in a list: {TOKEN}"],
        {"in": ("a", {"mapping": TOKEN})},
        {TOKEN},
        ValueError(f"said no to {TOKEN}"),
        Wrapped(),
    ],
)
def test_what_looks_like_a_token_is_blank(logged: Logged, value: object) -> None:
    """Whatever the field is called and whatever it is wrapped in."""
    structlog.get_logger().info("bot_started", answer=value)
    line = logged()
    assert TOKEN not in line
    assert "eyJ" not in line
    assert REDACTED in line


def fail_with_a_secret() -> None:
    held = [ord(letter) for letter in "held here"]
    raise ValueError(f"Bearer {TOKEN}", len(held))


@pytest.mark.parametrize("get_logger", [structlog.get_logger, logging.getLogger])
def test_traces_have_neither_tokens_nor_local_variables(logged: Logged, get_logger: Callable[[str], Any]) -> None:
    """A trace says where, not what was held there."""
    try:
        fail_with_a_secret()
    except ValueError:
        get_logger("x").exception("turn_failed")
    lines = logged()
    assert "fail_with_a_secret" in lines
    assert TOKEN not in lines
    assert "104, 101" not in lines  # what `held` holds


def test_plain_values_stay_as_they_are() -> None:
    """Numbers, truth values and nothing are no text, and an event keeps its name whatever it is called."""
    event = {"event": "connector_token_renewed", "a": 1, "b": 0.5, "c": None, "d": True, "e": "x"}
    assert redact(None, "info", dict(event)) == event


def test_without_a_stream_it_is_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Stdout belongs to a command's answer."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers[:], []
    configure_logging(format="json", level="error")
    structlog.get_logger().error("bot_started")
    structlog.reset_defaults()
    root.handlers = handlers
    assert (capsys.readouterr().out, structlog.is_configured()) == ("", False)
