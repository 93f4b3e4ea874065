"""Tests for the output of `sandbox`: the progress of its start, and the welcome, whose lines can be copied."""

import asyncio
import shlex
from pathlib import Path

import click
import pytest

from bot.cli import main
from bot.config.file import load_configuration
from bot.domain.routing import Account
from bot.sandbox import sandbox
from bot.sandbox.aws.world import ACCOUNT, CANCELLER_ROLE, EC2_NODES, HYBRID_NODE, REGION
from bot.sandbox.run import REMARKS, Progress, welcome
from bot.sandbox.teams.people import CLIENTS, HANAKO, TARO

REQUEST = "oi-0123456789ab"
APPROVER, REQUESTER = "http://127.0.0.1:4000", "http://127.0.0.1:4000/?person=29%3A1-yamada-taro"


NODES = [*(node.name for node in EC2_NODES), HYBRID_NODE.name]


def said() -> list[str]:
    """Return the lines of the welcome."""
    text = welcome(REQUEST, approver_url=APPROVER, requester_url=REQUESTER, nodes=NODES, log=Path(".sandbox/bot.log"))
    return [line.strip() for line in text.splitlines() if line.strip()]


async def test_long_step_of_the_start_of_the_sandbox_is_printed_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person who waits for a download sees that the sandbox is still working, and on which step."""
    monkeypatch.setattr("bot.sandbox.run.REPEAT", 0)
    progress = Progress()
    progress.begin("starting the bot")
    repeating = asyncio.create_task(progress.repeat())
    while "still" not in (printed := capsys.readouterr().out):
        assert printed in {"", "  starting the bot …\n"}
        await asyncio.sleep(0)
    repeating.cancel()
    assert printed.splitlines()[-1] == "  still starting the bot …"


def test_welcome_of_the_sandbox_has_an_address_for_approver_and_requester() -> None:
    """Each address has its own line, and the next line says whose page it is."""
    lines = said()
    assert HANAKO.name in lines[lines.index(APPROVER) + 1]
    assert TARO.name in lines[lines.index(REQUESTER) + 1]


@pytest.mark.parametrize("called", [".venv/bin/node-access-bot", "/usr/local/bin/node-access-bot"])
def test_commands_in_the_welcome_have_the_path_of_the_program_and_valid_arguments(
    called: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path is that of the running program, because a virtual environment may not be on the PATH.

    The program accepts the arguments.
    """
    monkeypatch.setattr("sys.argv", [called, "sandbox"])
    commands = [line for line in said() if line.startswith(called)]
    assert len(commands) == 2
    for command in commands:
        words = shlex.split(command)[1:]
        main.make_context("node-access-bot", words, resilient_parsing=False).close()
        sandbox = main.commands["sandbox"]
        assert isinstance(sandbox, click.Group)
        sandbox.commands[words[1]].make_context(words[1], words[2:]).close()


def test_commands_in_the_welcome_name_the_program_even_if_it_runs_as_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `python -m bot`, commands begin with `node-access-bot`: `__main__.py` is not a command."""
    monkeypatch.setattr("sys.argv", ["/somewhere/bot/__main__.py", "sandbox"])
    assert [line.split()[0] for line in said() if " sandbox " in line] == ["node-access-bot"] * 2


def test_welcome_of_the_sandbox_lists_every_node_with_its_remark() -> None:
    """Each node has one line."""
    lines = said()
    assert set(REMARKS) == set(NODES)
    for node in NODES:
        assert [line.split(maxsplit=1)[1] for line in lines if line.startswith(node)] == [REMARKS[node]]


def test_welcome_shows_how_to_print_the_request() -> None:
    """The command names the sandbox's store, which is not the default one."""
    wanted = f"NODE_ACCESS_STORE=sqlite:.sandbox/node-access.db node-access-bot show {REQUEST}"
    assert wanted in said()


@pytest.mark.parametrize("locale", CLIENTS)
def test_generated_configuration_of_the_sandbox_is_valid(locale: str, tmp_path: Path) -> None:
    """The configuration has the simulated account with a role that cancels requests, and a channel in this language.

    The account has no read role, so the bot reads it with its own credentials.
    """
    path = sandbox._configuration(sandbox.Options(folder=tmp_path, locale=locale))
    configuration = load_configuration(path)
    assert configuration.accounts == (Account(ACCOUNT, (REGION,), cancel_role=CANCELLER_ROLE),)
    assert [channel.locale for channel in configuration.channels] == [locale]
