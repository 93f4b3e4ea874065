"""What `sandbox` says when everything runs: its lines can be copied as they are."""

import shlex
from pathlib import Path

import click
import pytest

from bot.cli import main
from bot.config.file import load_configuration
from bot.domain.routing import Account
from bot.sandbox import sandbox
from bot.sandbox.aws.world import ACCOUNT, CANCELLER_ROLE, EC2_NODES, HYBRID_NODE, REGION
from bot.sandbox.run import REMARKS, welcome
from bot.sandbox.teams.people import CLIENTS, HANAKO, TARO

REQUEST = "oi-0123456789ab"
APPROVER, REQUESTER = "http://127.0.0.1:4000", "http://127.0.0.1:4000/?person=29%3A1-yamada-taro"


NODES = [*(node.name for node in EC2_NODES), HYBRID_NODE.name]


def said() -> list[str]:
    """Return the lines of the welcome."""
    text = welcome(REQUEST, approver_url=APPROVER, requester_url=REQUESTER, nodes=NODES, log=Path(".sandbox/bot.log"))
    return [line.strip() for line in text.splitlines() if line.strip()]


def test_a_page_for_who_decides_and_one_for_who_asks() -> None:
    """Each address stands alone on its line, and the next says whose it is."""
    lines = said()
    assert HANAKO.name in lines[lines.index(APPROVER) + 1]
    assert TARO.name in lines[lines.index(REQUESTER) + 1]


@pytest.mark.parametrize("called", [".venv/bin/node-access-bot", "/usr/local/bin/node-access-bot"])
def test_commands_can_be_copied(called: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They name the program as it was called: a virtual environment's is not on the path."""
    monkeypatch.setattr("sys.argv", [called, "sandbox"])
    commands = [line for line in said() if line.startswith(called)]
    assert len(commands) == 2
    for command in commands:
        words = shlex.split(command)[1:]
        main.make_context("node-access-bot", words, resilient_parsing=False).close()
        sandbox = main.commands["sandbox"]
        assert isinstance(sandbox, click.Group)
        sandbox.commands[words[1]].make_context(words[1], words[2:]).close()


def test_run_as_a_module_it_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m bot` is no name to copy."""
    monkeypatch.setattr("sys.argv", ["/somewhere/bot/__main__.py", "sandbox"])
    assert [line.split()[0] for line in said() if " sandbox " in line] == ["node-access-bot"] * 2


def test_every_node_says_what_it_shows() -> None:
    """Each node of the sample world is on a line of its own, with a remark."""
    lines = said()
    assert set(REMARKS) == set(NODES)
    for node in NODES:
        assert [line.split(maxsplit=1)[1] for line in lines if line.startswith(node)] == [REMARKS[node]]


def test_the_request_can_be_printed() -> None:
    """The line that prints the row names the sandbox's store: without it there would be none."""
    wanted = f"NODE_ACCESS_STORE=sqlite:.sandbox/node-access.db node-access-bot show {REQUEST}"
    assert wanted in said()


@pytest.mark.parametrize("locale", CLIENTS)
def test_the_sandboxs_own_file_is_accepted(locale: str, tmp_path: Path) -> None:
    """Its one account is the simulated one, read with the bot's own credentials, and requests can be cancelled there."""
    path = sandbox._configuration(sandbox.Options(folder=tmp_path, locale=locale))
    configuration = load_configuration(path)
    assert configuration.accounts == (Account(ACCOUNT, (REGION,), cancel_role=CANCELLER_ROLE),)
    assert [channel.locale for channel in configuration.channels] == [locale]
