"""Tests for bot.cli: the commands, their options and their exit codes: 0 success, 1 problem, 2 wrong usage."""

import asyncio
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from aiohttp import web
from click.testing import CliRunner, Result
from prometheus_client import CollectorRegistry

from bot.cli import main
from bot.domain.audit import AuditEntry
from bot.domain.decision import Decision
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import RequestKey, Verdict
from bot.rendering.gallery import SAMPLES
from bot.sandbox.sandbox import Options, free_port
from bot.store.sqlite.store import SqliteStore
from bot.web import server

KEY = RequestKey("111122223333", "ap-northeast-1", "oi-0123456789ab")
CONTRACT = {"serve", "health", "sandbox", "manifest", "doctor", "show", "render", "audit", "backup"}


@pytest.fixture(autouse=True)
def empty_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder, without settings in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("NODE_ACCESS_STORE", "NODE_ACCESS_CONFIG", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


def run(*words: str, env: dict[str, str] | None = None) -> Result:
    """Run a command in this process. Any exception other than the command's exit fails the test."""
    return CliRunner().invoke(main, words, catch_exceptions=False, env=env)


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the path of every command, including groups and their commands."""
    found = [path]
    for name, command in group.commands.items():
        below = (*path, name)
        found += commands(command, below) if isinstance(command, click.Group) else [below]
    return found


def test_program_has_exactly_the_listed_commands() -> None:
    """The list keeps a command from being added, renamed or removed by mistake."""
    assert set(main.commands) == CONTRACT


@pytest.mark.parametrize("words", commands())
def test_every_command_has_help(words: tuple[str, ...]) -> None:
    """Every command accepts --help and exits with 0."""
    result = run(*words, "--help")
    assert (result.exit_code, result.output.splitlines()[0].split(":")[0]) == (0, "Usage")


@pytest.mark.parametrize("words", commands())
def test_every_command_prints_the_installed_version(words: tuple[str, ...]) -> None:
    """Every command accepts --version and exits with 0."""
    result = run(*words, "--version")
    assert (result.exit_code, result.output) == (0, f"node-access-bot, version {version('node-access-bot')}\n")


def test_help_of_render_lists_the_cards() -> None:
    """The usage line has one word for the card, and the help lists all cards."""
    usage, _, rest = run("render", "--help").output.partition("\n")
    assert usage.endswith("CARD")
    assert all(name in rest for name in SAMPLES)


@pytest.mark.parametrize("words", [(), ("--approve", "--reject"), ("--revoke", "--cancel"), ("--approve", "--cancel")])
def test_sandbox_decide_takes_exactly_one_decision(words: tuple[str, ...]) -> None:
    """The error lists the four."""
    result = run("sandbox", "decide", KEY.ops_item_id, *words)
    expected = "say one of --approve, --reject, --revoke and --cancel"
    assert (result.exit_code, expected in result.stderr) == (2, True)


def test_sandbox_decide_refuses_a_comment_for_a_cancellation() -> None:
    """AWS would not store it, so it would be lost."""
    result = run("sandbox", "decide", KEY.ops_item_id, "--cancel", "--comment", "not needed")
    assert (result.exit_code, "takes no --comment" in result.stderr) == (2, True)


def test_sandbox_request_refuses_an_unknown_requester_and_lists_the_known_ones() -> None:
    """A mistyped name would otherwise be a request that the bot cannot identify."""
    result = run("sandbox", "request", "--node", "web-prod-01", "--reason", "x", "--as", "taro")
    assert (result.exit_code, "taro.yamada" in result.stderr, "deploy-agent-7" in result.stderr) == (2, True, True)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("", "write a reason"), (" \n", "write a reason"), ("x" * 257, "write 1 to 256 characters, not 257")],
)
def test_sandbox_request_refuses_a_reason_with_an_invalid_length(reason: str, expected: str) -> None:
    """The command exits with 2, and the error says what to write."""
    result = run("sandbox", "request", "--node", "web-prod-01", "--reason", reason)
    assert (result.exit_code, expected in result.stderr) == (2, True)


def test_sandbox_request_accepts_a_reason_of_256_characters() -> None:
    """A reason of 256 characters passes the check. The command then fails because no sandbox runs."""
    assert run("sandbox", "request", "--node", "web-prod-01", "--reason", "x" * 256).exit_code == 1


def test_show_without_a_store_prints_the_command_for_the_store_of_a_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the folder of a sandbox, the error contains a command to type, and that command works."""
    (tmp_path / ".sandbox").mkdir()
    asyncio.run(_store(tmp_path / ".sandbox" / "node-access.db"))
    line = run("show", KEY.ops_item_id).stderr.splitlines()[-1].strip()
    assert line == f"NODE_ACCESS_STORE=sqlite:.sandbox/node-access.db node-access-bot show {KEY.ops_item_id}"
    setting, _program, *words = line.split()
    monkeypatch.setenv(*setting.split("=", 1))
    assert run(*words).exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("nope",),
        ("doctor", "--nope"),
        ("show",),
        ("show", "oi-1"),
        ("show", "1/2/oi-0123456789ab"),
        ("backup",),
        ("render", "nope"),
        ("render", "request", "--locale", "fr"),
        ("sandbox", "--port", "65536"),
        ("sandbox", "--credential", "managed-identity"),
        ("sandbox", "request", "--reason", "x"),
        ("sandbox", "decide", "oi-1", "--approve"),
        ("sandbox", "decide", "oi-0123456789ab"),
    ],
)
def test_wrong_usage_of_a_command_exits_with_2_and_prints_the_usage(words: tuple[str, ...]) -> None:
    """The command cannot be parsed."""
    result = run(*words)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr


@pytest.mark.parametrize(
    ("words", "environ", "credential"),
    [
        ((), {}, "secret"),
        (("--credential", "aws-federation"), {}, "aws-federation"),
        ((), {"NODE_ACCESS_APP_CREDENTIAL": "aws-federation"}, "aws-federation"),
        (("--credential", "secret"), {"NODE_ACCESS_APP_CREDENTIAL": "aws-federation"}, "secret"),
    ],
)
def test_sandbox_uses_the_chosen_credential(
    words: tuple[str, ...], environ: dict[str, str], credential: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option selects the credential. Without it, the setting that production uses does."""
    chosen: list[Options] = []
    monkeypatch.delenv("NODE_ACCESS_APP_CREDENTIAL", raising=False)
    monkeypatch.setattr("bot.sandbox.run.run", chosen.append)
    result = CliRunner().invoke(main, ["sandbox", *words], env=environ)
    assert (result.exit_code, [each.credential for each in chosen]) == (0, [credential])


def test_serve_with_invalid_settings_prints_every_problem(tmp_path: Path) -> None:
    """The command prints all problems on stderr without a traceback, exits with 2 and starts nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "bot", "serve"],
        cwd=tmp_path,
        env={"NODE_ACCESS_PORT": "none", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    places = [line.split(":")[0] for line in done.stderr.splitlines()]
    assert places == [
        "NODE_ACCESS_APP_ID",
        "NODE_ACCESS_APP_SECRET",
        "NODE_ACCESS_TENANT_ID",
        "NODE_ACCESS_PORT",
        "AWS_REGION",
        "node-access.toml",
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("card", sorted(SAMPLES)[::20])
@pytest.mark.parametrize("locale", ["en", "ja"])
def test_render_prints_a_card_in_every_language_as_json(card: str, locale: str) -> None:
    """`render` prints an Adaptive Card. The tests of rendering take every card."""
    shown = json.loads(run("render", card, "--locale", locale).output)
    assert (shown["type"], shown["lang"]) == ("AdaptiveCard", locale)


def test_render_accepts_the_name_of_every_card() -> None:
    """A wrong name is refused with the list of all names."""
    refused = run("render", "no-such-card").output
    assert all(f"'{card}'" in refused for card in SAMPLES)


@pytest.mark.parametrize("name", [str(KEY), KEY.ops_item_id])
def test_show_prints_the_row_of_a_request(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request is found by its full key and by its OpsItem id, and printed as JSON."""
    monkeypatch.setenv("NODE_ACCESS_STORE", f"sqlite:{tmp_path / 'rows.db'}")
    asyncio.run(_store(tmp_path / "rows.db"))
    (row,) = json.loads(run("show", name).output)
    assert (row["key"]["ops_item_id"], row["version"]) == (KEY.ops_item_id, 1)


def test_show_escapes_terminal_control_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment may contain control characters and direction overrides. They are printed as escapes."""
    comment = "\u78ba\u8a8d\u3000\x1b[31m\x9b2J\x7f\x85\u202e\u2028\u200b\U000e0041 \U0001f600"
    monkeypatch.setenv("NODE_ACCESS_STORE", f"sqlite:{tmp_path / 'rows.db'}")
    asyncio.run(_store(tmp_path / "rows.db", comment=comment))
    printed = run("show", KEY.ops_item_id).output
    assert json.loads(printed)[0]["decisions"][0]["comment"] == comment
    assert [each for each in comment if each in printed and each not in "[31m2J "] == list(
        "\u78ba\u8a8d\u3000\U0001f600"
    )


def test_show_of_an_unknown_request_exits_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty result with exit code 0 would look like success."""
    monkeypatch.setenv("NODE_ACCESS_STORE", f"sqlite:{tmp_path / 'rows.db'}")
    asyncio.run(_store(tmp_path / "rows.db"))
    assert run("show", "oi-ffffffffffff").exit_code == 1


def test_show_creates_no_store(tmp_path: Path) -> None:
    """If there is no store, the command reports it and creates none."""
    result = run("show", KEY.ops_item_id)
    assert (result.exit_code, "there is no store" in result.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_show_reports_a_file_that_is_not_a_store(tmp_path: Path) -> None:
    """A file of another kind is reported without a traceback."""
    (tmp_path / "node-access.db").write_text("no database, and long enough to be read as one " * 40)
    result = run("show", KEY.ops_item_id)
    assert (result.exit_code, "cannot be read" in result.stderr) == (1, True)


def test_show_with_invalid_settings_exits_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """A DynamoDB table without a Region is an invalid setting."""
    monkeypatch.setenv("NODE_ACCESS_STORE", "dynamodb:rows")
    result = run("show", KEY.ops_item_id)
    expected = "AWS_REGION: missing: the AWS Region of the table; or AWS_DEFAULT_REGION\n"
    assert (result.exit_code, result.stderr) == (2, expected)


@pytest.mark.parametrize(
    "words",
    [
        ("request", "--reason", "x", "--node", "web-prod-01"),
        ("request", "--reason", "x", "--node", "web-prod-01", "--as", "hanako.sato"),
        ("request", "--reason", "x", "--node", "web-prod-01", "--as", "deploy-agent-7"),
        *(("decide", KEY.ops_item_id, f"--{verdict}") for verdict in ("approve", "reject", "revoke", "cancel")),
    ],
)
def test_sandbox_request_and_decide_fail_if_no_sandbox_runs(words: tuple[str, ...]) -> None:
    """The error says how to start one."""
    result = run("sandbox", *words)
    assert (result.exit_code, "make sandbox" in result.stderr) == (1, True)


async def _store(path: Path, *, comment: str | None = None) -> None:
    now = datetime(2026, 11, 23, 5, 19, tzinfo=UTC)

    def filled(row: Record) -> Record:
        if comment is None:
            return row.requeue_by(now)
        return row.with_decision(Decision("d", Person("o", "t"), Verdict.APPROVE, "Level1", now, now, comment=comment))

    async with SqliteStore(path) as store:
        await store.apply(KEY, filled, now=now)


# --- audit


def _with_trail(folder: Path) -> dict[str, str]:
    async def fill() -> None:
        async with SqliteStore(folder / "node-access.db") as store:
            for days, request, person in ((9, "a/b/oi-00000000000a", "P1"), (1, "a/b/oi-00000000000b", "p2")):
                at = datetime.now(UTC) - timedelta(days=days)
                await store.append_audit(AuditEntry(at, "clicked", request=request, person=person, person_name="=佐藤"))

    asyncio.run(fill())
    return {"NODE_ACCESS_STORE": f"sqlite:{folder / 'node-access.db'}"}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--since", "30d"), ["P1", "p2"]),
        (("--since", "7d"), ["p2"]),
        (("--since", "30d", "--until", "7d"), ["P1"]),
        (("--since", "30d", "--request", "oi-00000000000a"), ["P1"]),
        (("--since", "30d", "--person", "p1"), ["P1"]),
        (("--since", "2000-01-01"), ["P1", "p2"]),
        (("--since", "1m"), []),
        (("--since", "7d", "--until", "2999-12-31"), ["p2"]),
    ],
)
def test_audit_filters_by_time_request_and_person(tmp_path: Path, words: tuple[str, ...], found: list[str]) -> None:
    """Each option limits the entries. The output has one JSON object per line, the oldest first."""
    result = run("audit", *words, "--format", "json", env=_with_trail(tmp_path))
    assert (result.exit_code, result.stderr) == (0, "")
    assert [json.loads(line)["person"] for line in result.stdout.splitlines()] == found


def test_audit_command_prints_csv_without_formulas(tmp_path: Path) -> None:
    """The output has a header and one line per entry, and no cell is a formula."""
    result = run("audit", "--since", "30d", env=_with_trail(tmp_path))
    head, *lines = result.stdout.splitlines()
    assert (result.exit_code, len(lines)) == (0, 2)
    assert '"person_name"' in head
    assert all('"\'=佐藤"' in line for line in lines)


@pytest.mark.parametrize(
    "words",
    [
        ("--since", "yesterday"),
        *(("--since", text) for text in ("0001-01-01", "0001-01-01T00:00+14:00", "9999-12-31T23:59-12:00")),
        *(("--since", "7d", "--until", text) for text in ("0001-01-01", "9999-12-31")),
    ],
)
def test_audit_with_an_invalid_time_exits_with_2(tmp_path: Path, words: tuple[str, ...]) -> None:
    """The error shows the accepted forms."""
    result = run("audit", *words, env=_with_trail(tmp_path))
    assert result.exit_code == 2
    assert "a span like 24h or 7d" in result.stderr


def test_audit_command_creates_no_store(tmp_path: Path) -> None:
    """If there is no store, the command exits with 1 and creates none."""
    result = run("audit", "--since", "7d", env={"NODE_ACCESS_STORE": f"sqlite:{tmp_path / 'none.db'}"})
    assert result.exit_code == 1
    assert not (tmp_path / "none.db").exists()


async def _no_messages(_request: web.Request) -> web.StreamResponse:
    raise AssertionError


@pytest.fixture
def bot_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Run the HTTP servers of a bot in another thread. Parts that a test adds to the yielded dictionary are missing."""
    missing: dict[str, str] = {}
    ports, stop, loop = queue.Queue[int](), asyncio.Event(), asyncio.new_event_loop()

    async def ready() -> dict[str, str]:
        return missing

    async def serve() -> None:
        public = server.build_app(messages=_no_messages, ready=ready)
        operators = server.build_metrics_app(CollectorRegistry(), ready=ready, problems=lambda: dict(missing))
        async with (
            server.listen(public, host="127.0.0.1", port=0) as one,
            server.listen(operators, host="127.0.0.1", port=0) as other,
        ):
            ports.put(one.port)
            ports.put(other.port)
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    monkeypatch.setenv("NODE_ACCESS_PORT", str(ports.get(timeout=30)))
    monkeypatch.setenv("NODE_ACCESS_METRICS_PORT", str(ports.get(timeout=30)))
    yield missing
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


def test_health_succeeds_while_the_bot_is_alive(bot_on_this_machine: dict[str, str]) -> None:
    """The exit code is 0 even if a part is missing. A container that is alive but not ready must not be restarted."""
    bot_on_this_machine["queue"] = "AccessDenied"
    assert run("health").exit_code == 0


@pytest.mark.parametrize(("missing", "code"), [({}, 0), ({"queue": "AccessDenied"}, 1)])
def test_health_problems_prints_missing_parts_and_problems(
    missing: dict[str, str], code: int, bot_on_this_machine: dict[str, str]
) -> None:
    """They come from the metrics port. The exit code says whether the bot is ready."""
    bot_on_this_machine.update(missing)
    result = run("health", "--problems")
    assert result.exit_code == code
    assert json.loads(result.output) == {"ready": not missing, "missing": missing, "problems": missing}


@pytest.mark.parametrize("words", [("health",), ("health", "--problems")])
def test_health_fails_if_no_bot_runs(words: tuple[str, ...]) -> None:
    """The message names the address, so that a wrong port is easy to see."""
    port = str(free_port())
    result = run(*words, env={"NODE_ACCESS_PORT": port, "NODE_ACCESS_METRICS_PORT": port})
    assert (result.exit_code, f"127.0.0.1:{port}" in result.stderr) == (1, True)


def test_health_fails_if_another_program_answers() -> None:
    """A web page instead of the bot's JSON is an error with a hint, not a traceback."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>It works</html>")

    with HTTPServer(("127.0.0.1", 0), Page) as other:
        thread = threading.Thread(target=other.handle_request)
        thread.start()
        result = run("health", env={"NODE_ACCESS_PORT": str(other.server_port)})
        thread.join()
    assert (result.exit_code, "is it the port of another program?" in result.stderr) == (1, True)


def test_health_problems_fails_if_the_metrics_port_is_turned_off() -> None:
    """The command exits with 1 and names the setting."""
    result = run("health", "--problems", env={"NODE_ACCESS_METRICS_PORT": "0"})
    assert (result.exit_code, "NODE_ACCESS_METRICS_PORT" in result.stderr) == (1, True)
