"""Fixtures of the end-to-end tests: Node.js packages, the Playground and a browser.

If one of them is missing, the tests that need it are skipped with the reason. With CI=true in the environment, they
fail instead.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NoReturn

import pytest
import pytest_asyncio

from bot.sandbox.node import InstallFailed, Node, NodeMissing, find_node
from bot.sandbox.teams.playground import install_playground
from tests.e2e.browser import Browser, BrowserMissing, find_chromium
from tests.e2e.node import install_node_packages

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]


def skip_or_fail(reason: object) -> NoReturn:
    """Skip with this reason, or fail if CI=true."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"CI=true, but: {reason}", pytrace=False)
    pytest.skip(str(reason))


@pytest.fixture(scope="session")
def node() -> Node:
    """A Node.js with the packages of the tests installed."""
    try:
        return install_node_packages()
    except (NodeMissing, InstallFailed) as error:
        skip_or_fail(error)


@pytest.fixture(scope="session")
def playground_directory() -> Path:
    """The folder with the installed Playground. `make sandbox` in this repository uses the same one."""
    directory = ROOT / ".sandbox"
    try:
        install_playground(find_node(), directory)
    except (NodeMissing, InstallFailed) as error:
        skip_or_fail(error)
    return directory


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium."""
    try:
        return find_chromium()
    except BrowserMissing as error:
        skip_or_fail(error)


@pytest.fixture(scope="session")
def pictures() -> Path:
    """The folder for the tests' pictures: `E2E_PICTURES`, or `.sandbox/pictures`."""
    folder = Path(
        os.environ.get("E2E_PICTURES", ROOT / ".sandbox" / "pictures")
    ).resolve()  # absolute, because the browser runs in another folder
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all asynchronous tests of this folder in one event loop, which the browser needs."""
    for item in items:
        if pytest_asyncio.is_async_test(item) and item.path.parent == HERE:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chrome(node: Node, chromium: str) -> AsyncIterator[Browser]:
    """A Chromium for all tests."""
    browser = await Browser.start(node, chromium)
    yield browser
    await browser.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(chrome: Browser) -> AsyncIterator[Browser]:
    """The Chromium, with pages for one test."""
    yield chrome
    await chrome.close_pages()
