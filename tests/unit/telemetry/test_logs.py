"""Tests for bot.telemetry.logs: the form of lines, and the redaction of secrets."""

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
    """Configure logging for JSON and for the console in turn. Return a function that reads the log."""
    yield from _logged(request.param)


@pytest.fixture
def json_logged() -> Iterator[Logged]:
    """Configure logging for JSON only. Return a function that reads the log."""
    yield from _logged("json")


def _logged(form: Literal["json", "console"]) -> Iterator[Logged]:
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    root.handlers = []  # pytest's own handlers must not be closed
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
    """Yield the events that a module logs, through `log` or through a method of `log` that it stores as `write`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
            continue
        called = ast.unparse(node.func)
        if called == "write" or (called.startswith("log.") and called.removeprefix("log.") in LEVELS):
            yield str(node.args[0].value)


def test_listed_log_events_are_exactly_those_that_the_program_logs() -> None:
    """EVENTS lists exactly the events that the program logs."""
    sources = [ast.parse(path.read_text()) for path in (ROOT / "bot").rglob("*.py")]
    assert {event for tree in sources for event in events_of(tree)} == set(EVENTS)


def test_log_events_have_lower_case_names_and_descriptions() -> None:
    """A name has at least two words, joined by an underscore."""
    assert not [event for event in EVENTS if not re.fullmatch(r"[a-z]+(_[a-z]+)+", event)]
    assert all(EVENTS.values())


# --- lines


def test_log_line_has_the_event_and_its_fields(json_logged: Logged) -> None:
    """The line is one JSON object with the time, the level and the bound fields."""
    with structlog.contextvars.bound_contextvars(request="r/1"):
        structlog.get_logger().info("bot_started", ports=(1, 2), who="佐藤")
    line = line_of(json_logged)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line.pop("timestamp"))
    assert line == {"event": "bot_started", "level": "info", "ports": [1, 2], "request": "r/1", "who": "佐藤"}


def test_line_break_in_a_value_makes_no_second_log_line(json_logged: Logged) -> None:
    """A display name with a line break cannot forge a log line."""
    structlog.get_logger().info("bot_started", who='x\n{"event": "forged"}')
    assert line_of(json_logged)["event"] == "bot_started"


@pytest.mark.parametrize(
    "mark",
    ["\x1b[2K\x1b[1A", "\x9b2J", "\x00", "\x08", "\x7f", "\x0b", "\x0c", "\r", "\x85", "\u2028", "\u202e", "\u2066"],
)
def test_terminal_control_characters_in_log_lines_are_escaped(logged: Logged, mark: str) -> None:
    """Text from outside cannot erase, add or reverse a line. Japanese characters and blanks stay."""
    structlog.get_logger().info("card_adopted", person=f"佐藤\u3000花子{mark}x")
    logging.getLogger("library").warning("what%sx", mark)
    shown = logged()
    assert len(shown.splitlines()) == 2
    assert not set(shown) & set(mark) - set("[2K1AJ")
    assert "佐藤\u3000花子" in shown


def test_log_lines_below_the_level_are_not_written(logged: Logged) -> None:
    """Lines of libraries below warning are left out too, because their debug lines contain signed headers."""
    structlog.get_logger().debug("bot_started")
    logging.getLogger("botocore").info("signed")
    assert logged() == ""


def test_warning_of_a_library_is_logged_in_the_same_form(json_logged: Logged) -> None:
    """A library's warning is a line of the same form, with the library's name."""
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
def test_log_field_with_the_name_of_a_secret_is_redacted(logged: Logged, name: str) -> None:
    """The field may be inside other values, and its value may be a text or bytes."""
    structlog.get_logger().info("bot_started", **{name: "hunter2"}, inside={"deep": [{name: b"hunter2"}]})
    line = logged()
    assert "hunter2" not in line
    assert line.count(REDACTED) == 2


class Wrapped:
    """An object whose text contains a secret."""

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
def test_token_in_the_value_of_a_log_field_is_redacted(logged: Logged, value: object) -> None:
    """The field has an ordinary name. The text may be inside a list, a mapping, a set, an error or another object."""
    structlog.get_logger().info("bot_started", answer=value)
    line = logged()
    assert TOKEN not in line
    assert "eyJ" not in line
    assert REDACTED in line


def fail_with_a_secret() -> None:
    held = [ord(letter) for letter in "held here"]
    raise ValueError(f"Bearer {TOKEN}", len(held))


@pytest.mark.parametrize("get_logger", [structlog.get_logger, logging.getLogger])
def test_logged_stack_traces_have_no_tokens_and_no_local_variables(
    logged: Logged, get_logger: Callable[[str], Any]
) -> None:
    """A stack trace shows the lines of code, and not the values of variables."""
    try:
        fail_with_a_secret()
    except ValueError:
        get_logger("x").exception("turn_failed")
    lines = logged()
    assert "fail_with_a_secret" in lines
    assert TOKEN not in lines
    assert "104, 101" not in lines  # the value of the local variable `held`


def test_redaction_does_not_change_numbers_booleans_and_ordinary_text() -> None:
    """The event name stays unchanged too, even if it looks like the name of a secret."""
    event = {"event": "connector_token_renewed", "a": 1, "b": 0.5, "c": None, "d": True, "e": "x"}
    assert redact(None, "info", dict(event)) == event


def test_log_is_written_to_stderr_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output is only for the output of commands."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers[:], []
    configure_logging(format="json", level="error")
    structlog.get_logger().error("bot_started")
    structlog.reset_defaults()
    root.handlers = handlers
    out, err = capsys.readouterr()
    assert (out, json.loads(err)["event"]) == ("", "bot_started")
