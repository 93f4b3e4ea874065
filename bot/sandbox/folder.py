"""The folder of a sandbox: one run at a time locks it, and other commands find the running sandbox's addresses in it.

Owns the folder's files and the command lines that use them. Starts no process and uses no network, so that it can be
imported without the sandbox's libraries.
"""

import fcntl
import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

FOLDER: Final = Path(".sandbox")  # below the folder in which the command runs
STATE: Final = "state.json"  # where the other commands find the running sandbox
LOCK: Final = "lock"  # held while a sandbox runs; the kernel releases it even after a crash
BOT_LOG: Final = "bot.log"
STORE: Final = "node-access.db"
# Files of one run, useless afterwards: rows name requests of a simulated AWS that ended with the run.
OF_ONE_RUN: Final = (STATE, BOT_LOG, STORE, f"{STORE}-wal", f"{STORE}-shm")
COMMAND: Final = "node-access-bot"


class SandboxFailed(Exception):
    """The sandbox could not start, or it refused a command; the message says why."""


class NoSandbox(Exception):
    """The folder has no running sandbox, or the sandbox does not answer."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Lock the folder for one run, and remove the files of an earlier run.

    Raises SandboxFailed while another sandbox runs in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("ab") as lock:
        _lock(lock, folder)
        for name in OF_ONE_RUN:
            (folder / name).unlink(missing_ok=True)
        try:
            yield
        finally:
            (folder / STATE).unlink(missing_ok=True)


def _lock(lock: IO[bytes], folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as taken:
        raise SandboxFailed(f"a sandbox already runs in this folder: {_where(folder)}") from taken


def _where(folder: Path) -> str:
    try:
        return f"open {state(folder)['browser']}; stop it with Ctrl-C there"
    except NoSandbox:
        return "it is still starting"


def remember(folder: Path, addresses: Mapping[str, str]) -> None:
    """Store the addresses of the running sandbox: `aws`, `browser`, `bot`."""
    draft = folder / f"{STATE}.new"
    draft.write_text(json.dumps(addresses), "utf-8")
    draft.replace(folder / STATE)  # atomic: other commands read it at any time


def state(folder: Path) -> dict[str, str]:
    """Return the addresses of the running sandbox: `aws`, `browser`, `bot`. Raises NoSandbox."""
    try:
        addresses: dict[str, str] = json.loads((folder / STATE).read_text("utf-8"))
    except FileNotFoundError as missing:
        raise NoSandbox("no sandbox runs in this folder: start one with `make sandbox`") from missing
    return addresses


def program() -> str:
    """Return the command that started this program, for a shell: a virtual environment may not be on the PATH."""
    return shlex.quote(sys.argv[0]) if Path(sys.argv[0]).name == COMMAND else COMMAND


def show_line(request: str, *, folder: Path = FOLDER) -> str:
    """Return the command line that prints a request as the sandbox's bot has stored it."""
    return f"NODE_ACCESS_STORE={shlex.quote(f'sqlite:{folder / STORE}')} {program()} show {request}"
