"""What the end-to-end tests stand on: a browser, or a reason why there is none.

A missing browser or a failed installation never passes silently: the tests are skipped and say why, and where the
environment has CI=true they fail.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NoReturn

import pytest

from bot.sandbox.node import InstallFailed, Node, NodeMissing, find_node
from bot.sandbox.teams.playground import install_playground
from tests.e2e.browser import Browser, BrowserMissing, find_chromium
from tests.e2e.node import install_node_packages

ROOT: Final = Path(__file__).parents[2]


def not_here(reason: object) -> NoReturn:
    """Skip for this reason; fail where the environment says that everything must run."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"CI=true, and yet: {reason}", pytrace=False)
    pytest.skip(str(reason))


@pytest.fixture(scope="session")
def node() -> Node:
    """A Node.js with the packages of the tests installed."""
    try:
        return install_node_packages()
    except (NodeMissing, InstallFailed) as error:
        not_here(error)


@pytest.fixture(scope="session")
def playground_directory() -> Path:
    """A folder in which the Playground is installed; the one that the sandbox uses when started from here."""
    directory = ROOT / ".sandbox"
    try:
        install_playground(find_node(), directory)
    except (NodeMissing, InstallFailed) as error:
        not_here(error)
    return directory


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium."""
    try:
        return find_chromium()
    except BrowserMissing as error:
        not_here(error)


@pytest.fixture(scope="session")
def pictures() -> Path:
    """The folder for the pictures that the tests take: `E2E_PICTURES`, else `.sandbox/pictures`."""
    folder = Path(
        os.environ.get("E2E_PICTURES", ROOT / ".sandbox" / "pictures")
    ).resolve()  # the browser runs elsewhere
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
async def browser(node: Node, chromium: str) -> AsyncIterator[Browser]:
    """A Chromium of the test's own."""
    browser = await Browser.start(node, chromium)
    yield browser
    await browser.stop()
