"""The tool behind `make mutants`: what it changes, and that it can report a mutant that no test notices."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.mutants import mutants_of, mutated

ROOT = Path(__file__).parents[2]
RULE = "NEEDED = 2\n\n\ndef may(votes):\n    return votes >= NEEDED\n"
BLIND = "import rule\n\n\ndef test_it_runs():\n    rule.may(2)\n"
SHARP = "import rule\n\n\ndef test_limit():\n    assert (rule.may(2), rule.may(1)) == (True, False)\n"
PROGRAM = """
from pathlib import Path
import pytest
from tests.mutation.mutants import mutants_of
from tests.mutation.running import OPTIONS, Collected
def work(collected):
    left = collected.survivors(mutants_of(Path("rule.py")), lambda mutant: ["test_rule.py::TEST"], jobs=2)
    Path("survivors").write_text("\\n".join(sorted(each.change for each in left)))
pytest.main([*OPTIONS, "test_rule.py"], plugins=[Collected(work)])
"""


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("a < b", ["a <= b"]),
        ("a and b", ["a or b", "b", "a"]),
        ("not a", ["a"]),
        ("x = 60", ["x = 61"]),
        ("x = True", ["x = False"]),
        ("x = 'sent'", ["x = 'sent!'"]),
        ("max(a, b)", ["pass", "min(a, b)"]),
        ("x = replace(row, a=1)", ["x = replace(row)", "x = replace(row, a=2)"]),
        ("x = [each for each in a if each]", ["x = [each for each in a]"]),
        ("x = a + b", ["x = a - b"]),
        ("def f():\n    return a", ["def f():\n    return None"]),
        ("if a:\n    b()", ["if not a:\n    b()", "if a:\n    pass"]),
        ("if a is b:\n    x += c", ["if a is not b:\n    x += c", "if a is b:\n    pass"]),
        ("log.info('row_read', rows=1)", ["pass"]),
        ("'Return a row.'", []),
        ("x: 'Row' = a", []),
    ],
)
def test_mutation_tool_makes_each_kind_of_change(code: str, changes: list[str], tmp_path: Path) -> None:
    """There is one mutant for each change, and none for a docstring or an annotation."""
    path = tmp_path / "module.py"
    path.write_text(code)
    assert [ast.unparse(mutated(each)) for each in mutants_of(path)] == changes


@pytest.mark.parametrize(
    ("test", "survivors"),
    [
        (BLIND, ["2 -> 3", "return votes >= NEEDED -> return None", "votes >= NEEDED -> votes > NEEDED"]),
        (SHARP, []),
    ],
    ids=["blind", "sharp"],
)
def test_mutant_survives_a_test_that_asserts_nothing_but_not_one_that_asserts(
    test: str, survivors: list[str], tmp_path: Path
) -> None:
    """Both tests run every line of the rule, and pass. The one without an assertion notices no mutant."""
    (tmp_path / "rule.py").write_text(RULE)
    (tmp_path / "test_rule.py").write_text(test)
    program = PROGRAM.replace("TEST", "test_it_runs" if test is BLIND else "test_limit")
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    words = [sys.executable, "-c", program]
    subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, check=True, timeout=50)
    assert (tmp_path / "survivors").read_text().splitlines() == survivors
