"""Compares the runbook in infra/docs/operations.md with what leads to it: alerts, alarms, findings, and log events."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.contract import documents
from tests.system.test_templates import bot

TEXT: Final = documents.read(documents.OPERATIONS)
HEADINGS: Final = documents.anchors(TEXT)
PROGRAM: Final = documents.ROOT / "bot"
LEVELS: Final = {"warning": "warning", "error": "error", "exception": "error", "critical": "critical"}
LINK: Final = re.compile(r"\]\(#([a-z-]+)\)")


def listed(*head: str) -> dict[str, tuple[str, ...]]:
    """Return the other cells of each row of a table, by each name in the row's first cell. No name may come twice."""
    found: dict[str, tuple[str, ...]] = {}
    for names, *cells in documents.table(TEXT, *head):
        for name in re.findall(r"`([\w.-]+)`", names):
            assert name not in found, name
            found[name] = tuple(cells)
    assert found, head
    return found


def anchor_of(address: str) -> str:
    """Return the heading to which an alarm leads. It must be in operations.md."""
    file, _, anchor = address.partition("#")
    assert file == documents.OPERATIONS, address
    assert anchor in HEADINGS, address
    return anchor


def test_every_alert_names_the_same_heading_of_the_runbook_as_its_table() -> None:
    """The table has exactly the alerts, and each row leads to the same heading as the alert itself."""
    (group,) = yaml.safe_load(documents.read("infra/prometheus/rules.yaml"))["groups"]
    leads = {each["alert"]: anchor_of(each["annotations"]["runbook"]) for each in group["rules"]}
    assert {name: LINK.findall(see)[0] for name, (_, see) in listed("alert", "it means", "see").items()} == leads


def test_every_alarm_names_the_same_heading_of_the_runbook_as_its_table() -> None:
    """The table has exactly the alarms of the template. The text of each, which a person gets by mail, ends with it."""
    leads = {}
    for alarm in bot().of_type("AWS::CloudWatch::Alarm"):
        _, _, address = alarm["AlarmDescription"].rpartition(" See ")
        leads[alarm["AlarmName"].removeprefix("node-access-bot ")] = anchor_of(address)
    assert {name: LINK.findall(see)[0] for name, (_, see) in listed("alarm", "it means", "see").items()} == leads


def test_topic_of_the_alarms_is_not_encrypted_with_a_kms_key() -> None:
    """CloudWatch may not use the key alias/aws/sns, so with it nobody would get an alarm.

    https://repost.aws/knowledge-center/cloudwatch-configure-alarm-sns
    """
    (topic,) = bot().of_type("AWS::SNS::Topic")
    assert "KmsMasterKeyId" not in topic


def logged_in(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each event that a module logs as a warning or an error, with its level.

    A function may choose the method first (`write = log.warning if … else log.info`) and then call it.
    """
    tree = ast.parse(path.read_text("utf-8"))
    functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    for function in functions:
        chosen: dict[str, str] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                for level in map(level_of, ast.walk(node.value)):
                    if level and not isinstance(node.value, ast.Call):
                        chosen[node.targets[0].id] = level
        for node in ast.walk(function):
            if isinstance(node, ast.Call):
                level = level_of(node.func) or (chosen.get(node.func.id, "") if isinstance(node.func, ast.Name) else "")
                if level:
                    event = node.args[0]
                    assert isinstance(event, ast.Constant), f"{path}:{node.lineno}"  # so that it can be listed
                    yield str(event.value), level


def level_of(node: ast.AST) -> str:
    """Return the level of `log.warning` and the like; an empty text for any other code."""
    is_log = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "log"
    return LEVELS.get(node.attr, "") if is_log and isinstance(node, ast.Attribute) else ""


def modules() -> list[Path]:
    """Return the modules of the program, without the sandbox, which is for development."""
    return [path for path in PROGRAM.rglob("*.py") if "sandbox" not in path.relative_to(PROGRAM).parts]


def test_runbook_says_what_to_do_for_every_warning_and_error() -> None:
    """The table has exactly the events that can be a warning or an error, with their levels."""
    expected = {event: level for path in modules() for event, level in logged_in(path)}
    assert {"activity_refused", "signal_sent", "problem_began"} <= expected.keys()
    found = listed("event", "level", "what to do")
    assert {event: level for event, (level, _) in found.items()} == expected
    assert all(what for _, what in found.values())


@pytest.mark.parametrize(
    "call", ["log.warning('e')", "w = log.error if x else log.info\n    w('e')", "log.exception('e')"]
)
def test_control_search_finds_warnings_and_errors_in_every_form(call: str, tmp_path: Path) -> None:
    """The search sees a direct call, and a method that was chosen first."""
    module = tmp_path / "module.py"
    module.write_text(f"def f(x):\n    {call}\n    log.info('other')\n")
    assert [event for event, _ in logged_in(module)] == ["e"]


def test_runbook_says_what_to_do_for_every_finding_of_the_app_package() -> None:
    """The table has exactly the names of the rules for app packages."""
    tree = ast.parse((PROGRAM / "app_package" / "rules.py").read_text("utf-8"))
    calls = [each for each in ast.walk(tree) if isinstance(each, ast.Call) and isinstance(each.func, ast.Name)]
    names = {ast.literal_eval(each.args[0]) for each in calls if ast.unparse(each.func) == "Finding"}
    found = listed("finding of the package", "what is wrong", "what to do")
    assert found.keys() == names
    assert all(what for _, what in found.values())
