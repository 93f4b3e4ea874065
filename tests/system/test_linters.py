"""Linters for what is neither Python nor a document: shell scripts and the Containerfile."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent  # of the pinned packages
FOLDERS = (ROOT / ".ci", ROOT / "infra")
CONTAINERFILE = ROOT / "infra" / "container" / "Containerfile"
SHELLS = (b"#!/bin/sh\n", b"#!/usr/bin/env bash\n")


def scripts() -> list[Path]:
    """Return every shell script in FOLDERS, by its first line."""
    files = (path for folder in FOLDERS for path in sorted(folder.rglob("*")) if path.is_file())
    return [path for path in files if path.read_bytes().startswith(SHELLS)]


def lint(program: str, path: Path) -> tuple[int, str]:
    """Run a linter on a file. Return its exit code and its findings."""
    done = subprocess.run([PROGRAMS / program, path], cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)
    return done.returncode, done.stdout + done.stderr


def test_linters_have_shell_scripts_to_check() -> None:
    """The test of each script has parameters."""
    assert {"run", "container", "compile", "python"} <= {path.name for path in scripts()}


@pytest.mark.parametrize("path", scripts(), ids=lambda path: path.name)
def test_shellcheck_finds_no_problem_in_each_shell_script(path: Path) -> None:
    """The tool is documented at https://www.shellcheck.net."""
    assert lint("shellcheck", path) == (0, "")


def test_hadolint_finds_no_problem_in_the_containerfile() -> None:
    """The tool is documented at https://github.com/hadolint/hadolint."""
    assert lint("hadolint", CONTAINERFILE) == (0, "")


def test_control_linters_report_a_defect_in_a_script_and_a_containerfile(tmp_path: Path) -> None:
    """Control: an unquoted variable and an image without a version are found."""
    script, image = tmp_path / "script", tmp_path / "Containerfile"
    script.write_text("#!/bin/sh\nrm -r $1\n")
    image.write_text("FROM debian\n")
    assert "SC2086" in lint("shellcheck", script)[1]
    assert "DL3006" in lint("hadolint", image)[1]
