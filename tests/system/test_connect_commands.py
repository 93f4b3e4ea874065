"""The commands that requesters copy, run in real shells by the real AWS CLI against the simulated AWS.

PowerShell is not available everywhere, so its command is only parsed, with PowerShell's grammar.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Parser
from tree_sitter import Node as Syntax

from bot.domain.record import Record
from bot.domain.request import Node
from bot.domain.shown.direct import direct_view
from bot.domain.shown.views import DirectKind
from bot.rendering import render
from bot.sandbox.aws.jit.operations import TOKEN_ROLE
from bot.sandbox.aws.world import REQUESTER
from tests.contract.gateway import key_of
from tests.contract.scene import Asked, Scene, signal, staged
from tests.fakes.aws import FakeAws
from tests.fakes.card_text import nodes
from tests.fakes.clock import ManualClock
from tests.fakes.world import current_configuration

SHELLS = ("bash", "zsh")  # .ci/run installs zsh
NODE = "web-prod-01"
LIMIT = 120  # real seconds for the commands of one shell; they need about five on a quiet machine
PLUGIN = """#!/bin/sh
[ "$1" = --version ] && { echo 1.2.9999.0; exit; }
echo "$AWS_ACCESS_KEY_ID" >>"$SESSIONS"
"""
PROFILE = """[profile standing]
aws_access_key_id = {key}
aws_secret_access_key = {secret}
aws_session_token = {token}
"""


@pytest.fixture
def scene() -> Iterator[Scene]:
    """The simulated AWS, on a port of its own."""
    with staged() as scene:
        yield scene


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a stand-in for the Session Manager plugin, which AWS distributes only as a program."""
    plugin = tmp_path / "session-manager-plugin"
    plugin.write_text(PLUGIN)
    plugin.chmod(0o755)
    return tmp_path


def copied(asked: Asked, scene: Scene) -> list[str]:
    """Return the texts that the direct message about an approved request offers for copying: shells, PowerShell."""
    aws = FakeAws(ManualClock())
    request = aws.requests[aws.add(key=key_of(asked), node=Node(_id(scene), NODE))]
    record = Record(key_of(asked), scene.clock(), request=request)
    view = direct_view(record, DirectKind.APPROVED, current_configuration().value)
    card = render(view, locale="en", timezone="UTC")
    return [each["text"] for each in nodes(card) if each.get("fontType") == "Monospace" and "aws " in each["text"]]


def run(shell: str, lines: list[str], scene: Scene, place: Path) -> subprocess.CompletedProcess[str]:
    """Run lines in one shell of a person who is signed in to AWS. The AWS CLI is the one of this environment."""
    standing = scene.aws.world.requester
    keys = {"key": standing.access_key_id, "secret": standing.secret_access_key, "token": standing.session_token}
    (place / "config").write_text(PROFILE.format(**keys))
    script = place / "script"
    script.write_text("\n".join(lines) + "\n")
    programs = (str(place), str(Path(sys.executable).parent), os.defpath)
    environment = {
        "PATH": os.pathsep.join(programs),
        "HOME": str(place),
        "SESSIONS": str(place / "sessions"),
        "AWS_CONFIG_FILE": str(place / "config"),
        "AWS_ENDPOINT_URL": scene.aws.endpoint,
        **standing.environment(),
    }
    return subprocess.run(
        [shell, str(script)], env=environment, cwd=place, capture_output=True, text=True, timeout=LIMIT, check=False
    )


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.timeout(LIMIT)
def test_copied_command_starts_a_session_only_with_a_token_and_keeps_the_shells_variables(
    shell: str, scene: Scene, place: Path
) -> None:
    """Expired and denied requests start no session, and the shell says why. Two approved ones start one each.

    Every token is fetched with the person's own credentials, and every session has the credentials of its token: also
    with an alias for `aws` or a variable that names a profile. The shell's variables are the same before and after.
    """
    expired = approved(scene)
    scene.clock.move(hours=9)
    foreign = scene.bot.start_access_request(Reason="x", Targets=[{"Key": "InstanceIds", "Values": [_id(scene)]}])
    denied = Asked(foreign["AccessRequestId"], "")
    good = [approved(scene), approved(scene)]
    commands = [copied(each, scene)[0] for each in (expired, denied, *good)]
    scene.aws.forget_calls()
    done = run(
        shell,
        [
            "set -u",
            "export -p >before",
            *commands[:3],
            "unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN",
            '[ -z "${BASH_VERSION-}" ] || shopt -s expand_aliases',
            "alias aws='aws --profile standing'",
            "export AWS_PROFILE=standing",
            commands[3],
            "unalias aws",
            "unset AWS_PROFILE",
            f"export {' '.join(f'{name}={value}' for name, value in scene.aws.world.requester.environment().items())}",
            "export -p >after",
            "set >variables",
        ],
        scene,
        place,
    )
    said = done.stderr
    assert [each.caller.rpartition("role/")[2] for each in scene.aws.calls("GetAccessToken")] == [
        f"Operator/{REQUESTER}"
    ] * 4
    sessions = scene.aws.calls("StartSession")
    assert [(each.caller.rpartition("role/")[2], each.status) for each in sessions] == [
        (f"{TOKEN_ROLE}/{REQUESTER}", 200)
    ] * 2, said
    keys = (place / "sessions").read_text().split()
    assert len(set(keys)) == 2
    assert not set(keys) & {scene.aws.world.requester.access_key_id}
    assert [each for each in said.splitlines() if each.startswith("No session")] == [
        "No session was started. Access request: Expired",
        "No session was started. Access request: no answer",
    ]
    assert "AccessDeniedException" in said
    assert (place / "after").read_text() == (place / "before").read_text()
    assert not any(key in (place / "variables").read_text() for key in keys)


def test_powershell_command_starts_a_session_only_with_a_token(scene: Scene) -> None:
    """The command is valid PowerShell. The session is in the block of the condition, between setting and restoring."""
    command = copied(approved(scene), scene)[1]
    tree = Parser(Language(tree_sitter_powershell.language())).parse(command.encode()).root_node
    assert not tree.has_error, str(tree)
    (condition,) = found(tree, "if_statement")
    (guarded,) = found(condition, "try_statement")
    calls = [text_of(each) for each in found(tree, "command")]
    assert sum("get-access-token" in each for each in calls) >= 1
    assert "$a.Credentials.SessionToken" in text_of(condition).partition("{")[0]
    inside, outside = text_of(guarded), command.replace(text_of(guarded), "")
    assert "start-session" in inside
    assert "start-session" not in outside
    assert "$env:AWS_SESSION_TOKEN = $a" not in outside
    (restored,) = found(guarded, "finally_clause")
    assert "$env:AWS_SESSION_TOKEN = $x, $y, $z" in text_of(restored)


def test_copied_commands_name_the_request_and_its_node(scene: Scene) -> None:
    """There is one command for POSIX shells, and one for PowerShell."""
    asked = approved(scene)
    shell, powershell = copied(asked, scene)
    for command in (shell, powershell):
        assert asked.id in command
        assert f"--target {_id(scene)}" in command


def approved(scene: Scene) -> Asked:
    """Request access, and approve it as a person with an approver role."""
    asked = scene.ask(NODE)
    signal(scene.approver(), asked)
    return asked


def found(tree: Syntax, kind: str) -> list[Syntax]:
    """Return all nodes of a kind in a syntax tree."""
    here = [tree] if tree.type == kind else []
    return here + [each for child in tree.children for each in found(child, kind)]


def text_of(node: Syntax) -> str:
    """Return the source text of a node of a syntax tree."""
    return (node.text or b"").decode()


def _id(scene: Scene) -> str:
    return str(scene.aws.world.nodes[NODE])
