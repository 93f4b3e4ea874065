""".ci/run on machines of several kinds, with programs that only write down how they were called."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REAL = ("sh", "dirname", "grep")  # programs that the script itself is written with
COMMANDS = [
    "make weaknesses",
    "make check",
    "make test",
    "make proofs",
    "make e2e",
    "make controls SAMPLE=12",
]
EVERYTHING = ("python3", "make", "chromium", "fc-list", "id", "apt-get")
FONTS = "Noto Sans CJK JP\nOpen Sans"


class Machine:
    """A folder of programs that stands for a machine."""

    def __init__(self, folder: Path) -> None:
        self._programs, self._log = folder / "programs", folder / "log"
        self._programs.mkdir()
        for name in REAL:
            found = shutil.which(name)
            assert found is not None
            (self._programs / name).symlink_to(found)

    def has(self, *names: str, user: int = 0, fonts: str = FONTS) -> "Machine":
        """Install programs; `python3` passes every check that is made of it."""
        says = {"id": f"echo {user}", "fc-list": f"echo '{fonts}'", "python3": "echo python3"}
        for name in names:
            noted = f'echo "{name} $*" >>{self._log}' if name in {"make", "apt-get"} else ":"
            program = self._programs / name
            program.write_text(f"#!/bin/sh\n{noted}\n{says.get(name, ':')}\n")
            program.chmod(0o755)
        return self

    def run(self) -> tuple[int, str, list[str]]:
        """Run the script; return its exit code, what it said on stderr, and the calls that it made."""
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
    """Return a machine with next to nothing on it."""
    return Machine(tmp_path)


def test_a_complete_machine_gets_the_checks_and_then_the_tests(machine: Machine) -> None:
    """Where nothing is missing nothing is installed."""
    assert machine.has(*EVERYTHING).run() == (0, "", COMMANDS)


def test_a_bare_debian_gets_what_is_missing_first(machine: Machine) -> None:
    """As root the missing packages are installed, after the lists were fetched, and then everything runs."""
    code, _, calls = machine.has("python3", "make", "id", "apt-get").run()
    assert (code, calls[0].split()[:2], calls[2:]) == (
        0,
        ["apt-get", "update"],
        COMMANDS,
    )
    assert calls[1].startswith("apt-get install")
    assert set(calls[1].partition("--no-install-recommends")[2].split()) == {
        "chromium",
        "fontconfig",
        "fonts-noto-cjk",
        "fonts-open-sans",
    }


def test_only_what_is_missing_is_installed(machine: Machine) -> None:
    """A font that is there is not fetched again."""
    _, _, calls = machine.has(*EVERYTHING, fonts="Open Sans").run()
    assert calls[1].split()[-2:] == ["--no-install-recommends", "fonts-noto-cjk"]


@pytest.mark.parametrize(("programs", "user"), [(("apt-get",), 1000), ((), 0)])
def test_elsewhere_it_says_what_is_missing(machine: Machine, programs: tuple[str, ...], user: int) -> None:
    """Without the right or the means to install, nothing runs and the missing packages are named."""
    code, said, calls = machine.has("python3", "make", "fc-list", "id", *programs, user=user).run()
    assert (code, calls) == (1, [])
    assert "missing: chromium " in said
