"""The icons of the Teams app look like their drawings: Chromium draws the SVG files again."""

import base64
from importlib.resources import files
from pathlib import Path

import pytest
import pytest_asyncio

from bot.app_package.manifest import ICON_SIZES
from bot.app_package.pictures import read_picture
from bot.app_package.rules import find_mistakes
from tests.e2e.browser import Browser
from tests.unit.app_package.packages import APP_ID, with_files

ICONS = files("bot.app_package") / "icons"
VISIBLE = 64  # of 255, in red, green, blue or alpha; versions of Chromium smooth edges differently
MOST_DIFFERING = 0.003  # of all pixels


@pytest_asyncio.fixture(params=ICON_SIZES, loop_scope="session")
async def drawn(request: pytest.FixtureRequest, browser: Browser, pictures: Path) -> tuple[str, bytes]:
    """Draw an icon's SVG file. Return the kind of icon and the PNG file, which is also among the pictures."""
    kind = str(request.param)
    svg = (ICONS / f"{kind}.svg").read_text("utf-8")
    data = base64.b64decode(await browser.do("draw", svg=svg, size=ICON_SIZES[kind]))
    (pictures / f"icon-{kind}.png").write_bytes(data)
    return kind, data


def test_drawing_of_each_icon_passes_the_rules_for_icons(drawn: tuple[str, bytes]) -> None:
    """`make pictures` copies the drawing into the package."""
    kind, data = drawn
    assert find_mistakes(with_files({f"{kind}.png": data}), app_id=APP_ID) == []


def test_icon_in_the_package_looks_like_its_svg_file(drawn: tuple[str, bytes]) -> None:
    """The PNG file in the package looks as the SVG file beside it describes."""
    kind, data = drawn
    ours, theirs = read_picture((ICONS / f"{kind}.png").read_bytes()), read_picture(data)
    assert differing(list(ours.pixels()), list(theirs.pixels())) < MOST_DIFFERING


def differing(one: list[tuple[int, int, int, int]], other: list[tuple[int, int, int, int]]) -> float:
    """Return the share of pixels that a person sees as different."""
    pairs = zip(one, other, strict=True)
    return sum(any(abs(a - b) > VISIBLE for a, b in zip(*pair, strict=True)) for pair in pairs) / len(one)
