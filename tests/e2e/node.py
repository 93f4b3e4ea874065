"""The Node.js packages of the tests: playwright-core, and Microsoft's card libraries for comparison.

Installed once into `node_modules` beside this file, exactly as in the lock file. The lock file is made with
`npm install --package-lock-only` in this folder. Its `funding` entries are removed, because lock files in this
repository contain no web addresses.
"""

import fcntl
import hashlib
from pathlib import Path
from typing import Final

from bot.sandbox.node import Node, find_node, npm_ci

HERE: Final = Path(__file__).parent


def install_node_packages() -> Node:
    """Install the packages if necessary. Return the node to run them with.

    Blocks. Raises bot.sandbox.node.NodeMissing or InstallFailed.
    """
    node = find_node()
    modules = HERE / "node_modules"
    stamp = modules / ".installed"
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    with (HERE / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at a time install one after the other
        if not stamp.exists() or stamp.read_text() != wanted:
            npm_ci(node, HERE)
            stamp.write_text(wanted)
    return node
