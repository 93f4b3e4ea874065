"""Tests for `.ci/run` on machines with different programs, whose `make` and `apt-get` only record their calls."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REAL = ("sh", "dirname", "grep")  # programs that the script itself needs
CONTAINER = ("buildah", "runc", "mmdebstrap")
EVERYTHING = ("python3", "make", "promtool", "zsh", "chromium", "fc-list", "id", "apt-get", *CONTAINER)
FONTS = "Noto Sans CJK JP\nOpen Sans"
COMMANDS = [
    "make --jobs=2 --output-sync=line setup base",
    "make --jobs=2 --output-sync=line container check weaknesses controls SAMPLE=12",
    "make test",
    "make slow",
]


class Machine:
    """A machine that has only the programs in one folder."""

    def __init__(self, folder: Path) -> None:
        self._programs, self._log = folder / "programs", folder / "log"
        self._programs.mkdir()
        for name in REAL:
            found = shutil.which(name)
            assert found is not None
            (self._programs / name).symlink_to(found)

    def has(self, *names: str, user: int = 0, fonts: str = FONTS) -> "Machine":
        """Install programs that always succeed. `make` and `apt-get` also record their calls."""
        output = {"id": f"echo {user}", "fc-list": f"echo '{fonts}'", "python3": "echo python3"}
        for name in names:
            recorded = f'echo "{name} $*" >>{self._log}' if name in {"make", "apt-get"} else ":"
            program = self._programs / name
            program.write_text(f"#!/bin/sh\n{recorded}\n{output.get(name, ':')}\n")
            program.chmod(0o755)
        return self

    def run(self) -> tuple[int, str, list[str]]:
        """Run the script. Return its exit code, its stderr and the calls of make and apt-get."""
        done = subprocess.run(
            [ROOT / ".ci" / "run"],
            env={"PATH": str(self._programs)},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        calls = self._log.read_text().splitlines() if self._log.exists() else []
        return done.returncode, done.stderr, calls


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine with only the programs in REAL."""
    return Machine(tmp_path)


def test_ci_script_on_a_complete_machine_runs_every_command_in_order(machine: Machine) -> None:
    """On a complete machine, the script installs no package and runs all commands in order."""
    assert machine.has(*EVERYTHING).run() == (0, "", COMMANDS)


def test_ci_script_as_root_installs_missing_packages_before_it_runs_the_commands(machine: Machine) -> None:
    """As root, the script updates the package lists, installs the missing packages, and then runs all commands."""
    code, _, calls = machine.has("python3", "make", "id", "apt-get").run()
    assert (code, calls[0].split()[:2], calls[2:]) == (0, ["apt-get", "update"], COMMANDS)
    assert calls[1].startswith("apt-get install")
    assert set(calls[1].partition("--no-install-recommends")[2].split()) == {
        "chromium",
        "fontconfig",
        "fonts-noto-cjk",
        "fonts-open-sans",
        "prometheus",
        "zsh",
        *CONTAINER,
    }


def test_ci_script_does_not_install_a_font_that_is_already_installed(machine: Machine) -> None:
    """Of two fonts, only the missing one is installed."""
    _, _, calls = machine.has(*EVERYTHING, fonts="Open Sans").run()
    assert calls[1].split()[-2:] == ["--no-install-recommends", "fonts-noto-cjk"]


@pytest.mark.parametrize(("programs", "user"), [(("apt-get",), 1000), ((), 0)])
def test_ci_script_without_root_or_apt_lists_missing_packages_and_runs_no_command(
    machine: Machine, programs: tuple[str, ...], user: int
) -> None:
    """Without root or without apt-get, the script lists the missing packages and runs no command."""
    code, stderr, calls = machine.has("python3", "make", "fc-list", "id", *programs, user=user).run()
    assert (code, calls) == (1, [])
    assert stderr.startswith("missing: chromium zsh prometheus buildah runc mmdebstrap (")
