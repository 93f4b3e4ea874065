"""Compares bot/README.md, CONTRIBUTING.md, SECURITY.md and tests/README.md with the code and the tests."""

import re

from bot.domain.decision import TRANSITIONS, DecisionState
from tests.contract import documents

TESTS = documents.ROOT / "tests"


def decision_diagram() -> str:
    """Return the Mermaid diagram of a decision's states, made from TRANSITIONS."""
    ends = [state for state in DecisionState if not any(start is state for start, _ in TRANSITIONS)]
    steps = [f"    {start} --> {end}: {event}" for (start, event), end in TRANSITIONS.items()]
    finals = [f"    {state} --> [*]" for state in ends]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {DecisionState.CLAIMED}", *steps, *finals, ""])


def test_decision_diagram_matches_the_transitions() -> None:
    """The diagram in bot/README.md has exactly the transitions of the table in the code."""
    assert decision_diagram() in documents.blocks(documents.read("bot/README.md"), "mermaid")


def test_documented_test_commands_are_those_of_ci() -> None:
    """The first commands in CONTRIBUTING.md, without the sandbox, make the same targets as `.ci/run`."""
    shell = documents.blocks(documents.read(documents.CONTRIBUTING), "sh")[0]
    script = (documents.ROOT / ".ci" / "run").read_text()
    assert sorted(_made(shell)) == sorted([*_made(script), "sandbox"])


def _made(shell: str) -> list[str]:
    """Return the targets and variables of every `make` in a shell script."""
    lines = (line.partition("#")[0].split() for line in shell.splitlines())
    return [word for line in lines if line[:1] == ["make"] for word in line[1:] if not word.startswith("--")]


def test_every_test_folder_is_documented() -> None:
    """CONTRIBUTING.md has a row for each folder of tests, and for the fakes."""
    table = re.findall(r"^\| `(tests/\w+)` \|", documents.read(documents.CONTRIBUTING), re.MULTILINE)
    there = {f"tests/{path.relative_to(TESTS).parts[0]}" for path in TESTS.rglob("test_*.py")}
    assert set(table) == {*there, "tests/fakes"}


def test_every_proof_is_listed_in_the_readme_of_the_tests() -> None:
    """tests/README.md has one row for each file that prints a figure."""
    listed = re.findall(r"^\| \d+ \| .*? \| `(test_\w+\.py)` \|", documents.read("tests/README.md"), re.MULTILINE)
    folders = (TESTS / name for name in ("reliability", "security", "e2e"))
    there = [path for folder in folders for path in folder.glob("test_*.py")]
    assert sorted(listed) == sorted(
        path.name for path in there if re.search(r"\bfigure\(\s*\d", path.read_text("utf-8"))
    )


def test_every_threat_in_the_security_document_names_an_existing_test() -> None:
    """The table has more than 30 threats."""
    rows = documents.table(documents.read(documents.SECURITY), "threat", "countermeasure", "test")
    named = [re.fullmatch(r"`(test_\w+)`", test) for _, _, test in rows]
    there = {
        name
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    assert len(rows) > 30
    assert not [row for row, found in zip(rows, named, strict=True) if found is None or found[1] not in there]


def test_every_test_that_the_readme_of_the_tests_names_with_its_folder_exists() -> None:
    """tests/README.md names the tests of each feature by folder and file."""
    named = re.findall(r"`(\w+/test_\w+\.py)`", documents.read("tests/README.md"))
    assert len(named) > 30
    assert [each for each in named if not (TESTS / each).is_file()] == []
