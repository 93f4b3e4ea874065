"""Tests for the output of `sandbox`: the progress of its start, and the welcome, whose lines can be copied."""

import asyncio
import shlex
from datetime import timedelta
from pathlib import Path

import click
import pytest

from bot.cli import main
from bot.config.file import load_configuration
from bot.domain.routing import Account
from bot.sandbox import sandbox
from bot.sandbox.aws.world import (
    ACCOUNT,
    APPROVER_ROLE,
    CANCELLER_ROLE,
    EC2_NODES,
    END_SESSIONS_ROLE,
    GIVE_BACK_ROLE,
    HYBRID_NODE,
    LEAD_ROLE,
    REGION,
)
from bot.sandbox.run import Progress, welcome
from bot.sandbox.stories import FIRST, MORE
from bot.sandbox.teams.people import APPROVERS, CASTS, HANAKO, READER, TARO, Person

REQUEST = "oi-0123456789ab"


def chat(person: Person) -> str:
    """Return the address of a person's page."""
    return f"http://127.0.0.1:4000/?person={person.mri}"


def channel(person: Person) -> str:
    """Return the address of a person's page that is open on the channel."""
    return f"{chat(person)}&chat=approvers"


def said(locale: str = "en") -> list[str]:
    """Return the lines of the welcome."""
    text = welcome(REQUEST, channel_for=channel, chat_for=chat, locale=locale, log=Path(".sandbox/bot.log"))
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


@pytest.mark.parametrize("locale", CASTS)
def test_welcome_of_the_sandbox_has_an_address_for_each_point_of_view(locale: str) -> None:
    """Each address has its own line, and the next line says whose page it is. Approver and requester come first."""
    lines, cast = said(locale), CASTS[locale]
    people = (cast.shown(HANAKO), cast.shown(TARO), cast.colleague, cast.shown(TARO), cast.shown(READER))
    addresses = [line for line in lines if line.startswith("http")]
    assert addresses == [(chat if number == 1 else channel)(person) for number, person in enumerate(people)]
    for address, person in zip(addresses, people, strict=True):
        assert person.name in lines[lines.index(address) + 1]


def test_welcome_of_the_sandbox_in_english_has_english_reasons_and_names() -> None:
    """Only the second name of the colleague is Japanese."""
    text = "\n".join(said("en")).replace("(鈴木 芽依)", "")
    assert [each for each in text if ord(each) > 0x2FFF] == []
    assert FIRST.reasons["en"].isascii()


def suggested(locale: str, called: str) -> list[list[str]]:
    """Return the words of each command of the program in the welcome, as a shell splits them."""
    split = [shlex.split(line) for line in said(locale) if called in line]
    return [words[words.index(called) + 1 :] for words in split]


@pytest.mark.parametrize("locale", CASTS)
@pytest.mark.parametrize("called", [".venv/bin/node-access-bot", "/srv/my tools/node-access-bot"])
def test_commands_in_the_welcome_can_be_pasted(called: str, locale: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has the path of the running program, quoted if necessary, and arguments that the program accepts.

    A virtual environment may not be on the PATH.
    """
    monkeypatch.setattr("sys.argv", [called, "sandbox"])
    commands = suggested(locale, called)
    assert len(commands) == 3 + 1 + len(MORE)
    for words in commands:
        group: click.Command = main
        while isinstance(group, click.Group):
            group = group.commands[words.pop(0)]
        group.make_context("", words, resilient_parsing=False).close()


def test_commands_in_the_welcome_decide_and_show_the_waiting_request() -> None:
    """They have its id: an approval, a revocation, a session, and what the bot has stored."""
    named = [words for words in suggested("en", "node-access-bot") if REQUEST in words]
    assert named == [
        ["sandbox", "decide", REQUEST, "--approve"],
        ["sandbox", "decide", REQUEST, "--revoke"],
        ["sandbox", "session", REQUEST],
        ["show", REQUEST],
    ]


def test_commands_in_the_welcome_name_the_program_even_if_it_runs_as_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `python -m bot`, commands begin with `node-access-bot`: `__main__.py` is not a command."""
    monkeypatch.setattr("sys.argv", ["/somewhere/bot/__main__.py", "sandbox"])
    assert {line.split()[0] for line in said() if " sandbox " in line and "--" in line} == {"node-access-bot"}


def test_welcome_of_the_sandbox_has_a_story_for_every_node() -> None:
    """The command that makes the request has its own line, and the next line says what it shows."""
    assert {story.node for story in (FIRST, *MORE)} == {*(node.name for node in EC2_NODES), HYBRID_NODE.name}
    lines = said()
    for story in MORE:
        assert lines[lines.index(story.command("node-access-bot", "en")) + 1] == story.shows


def test_welcome_shows_how_to_print_the_request() -> None:
    """The command names the sandbox's store, which is not the default one."""
    wanted = f"NODE_ACCESS_STORE=sqlite:.sandbox/node-access.db node-access-bot show {REQUEST}"
    assert wanted in said()


@pytest.mark.parametrize("locale", CASTS)
def test_generated_configuration_of_the_sandbox_is_valid(locale: str, tmp_path: Path) -> None:
    """The configuration has the simulated account with all roles for people, and a channel in this language.

    The account has no read role, so the bot reads it with its own credentials. Decisions outside Teams count for the
    people in their session names: others can approve the next level.
    """
    path = sandbox._configuration(sandbox.Options(folder=tmp_path, locale=locale))
    configuration = load_configuration(path)
    assert configuration.accounts == (
        Account(
            ACCOUNT,
            (REGION,),
            cancel_role=CANCELLER_ROLE,
            end_sessions_role=END_SESSIONS_ROLE,
            give_back_role=GIVE_BACK_ROLE,
            name="prod-core",
        ),
    )
    (home,) = configuration.channels
    assert {APPROVER_ROLE.rpartition("/")[2], LEAD_ROLE.rpartition("/")[2]} <= configuration.identity.trusted_roles
    assert home.locale == locale
    assert home.remind_after == (timedelta(minutes=1),)
    assert {f"upn:{each.upn}" for each in APPROVERS} == set(home.approvers)
    assert READER not in APPROVERS
