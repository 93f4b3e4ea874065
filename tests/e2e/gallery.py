"""The gallery: every sample card as Teams draws it, in each language, width and theme, with what was measured.

`make gallery` writes pictures, `index.html` and `measurements.json` into a folder. The tests use the same measurements,
without pictures.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from itertools import groupby, product
from pathlib import Path
from typing import Any, Final

from bot.rendering import render
from bot.rendering.gallery import SAMPLES, sample_timezone, samples
from bot.rendering.i18n import LOCALES
from bot.sandbox.node import InstallFailed, Node, NodeMissing
from tests.e2e.browser import HERE, BrowserMissing, find_chromium
from tests.e2e.node import install_node_packages

WIDTHS: Final = (320, 600)  # CSS pixels of a card: on a phone, and on a desktop
THEMES: Final = ("light", "dark")
CONTRAST: Final = 4.5  # https://www.w3.org/TR/WCAG21/#contrast-minimum
PAGE: Final = """<!doctype html>
<meta charset="utf-8">
<title>Gallery of cards</title>
<style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 24px; background: #e8e8e8 }
section { display: flex; flex-wrap: wrap; gap: 16px; align-items: flex-start }
figure { margin: 0 }
figcaption { max-width: 320px }
strong { color: #a00000 }
</style>
"""


@dataclass(frozen=True, slots=True)
class Card:
    """One card of the gallery: its name (sample and locale) and its JSON."""

    name: str
    card: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Button:
    """A visible button: its name, and the distance from the card's top to the button's bottom edge in CSS pixels."""

    name: str
    bottom: int


@dataclass(frozen=True, slots=True)
class Contrast:
    """The lowest contrast of a card's texts, from 1 to 21, and the text that has it."""

    ratio: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A card as drawn: `opened` names the clicked button that shows a hidden part, or is empty.

    `invalid` has the renderer's own errors. Lengths are CSS pixels.
    """

    name: str
    width: int
    theme: str
    opened: str
    picture: str  # name of the PNG file
    height: int
    buttons: tuple[Button, ...]
    clipped: tuple[str, ...]  # texts
    contrast: Contrast
    unlabelled: tuple[str, ...]  # inputs without a label, as HTML
    unnamed: tuple[str, ...]  # buttons without a name, as HTML
    headings: tuple[str, ...]
    invalid: tuple[str, ...]

    @classmethod
    def parse(cls, line: str) -> "Measurement":
        """Read a line of `measure_cards.cjs`."""
        read = json.loads(line)
        lists = {name: tuple(read[name]) for name in ("clipped", "unlabelled", "unnamed", "headings", "invalid")}
        buttons = tuple(Button(**each) for each in read["buttons"])
        return cls(**{**read, **lists, "buttons": buttons, "contrast": Contrast(**read["contrast"])})

    @property
    def faults(self) -> list[str]:
        """What no card may have, in words; empty if there is nothing."""
        low = [f"{self.contrast.ratio}: {self.contrast.text}"] if self.contrast.ratio < CONTRAST else []
        found = {
            "clipped": self.clipped,
            "contrast": low,
            "input without label": self.unlabelled,
            "button without name": self.unnamed,
            "invalid": self.invalid,
        }
        return [f"{what}: {each}" for what, where in found.items() for each in where]


def cards(locales: Iterable[str] = LOCALES) -> Iterator[Card]:
    """Yield every sample in each locale."""
    for name, locale in product(SAMPLES, locales):
        sample = samples(locale)[name]
        card = render(sample.view, locale=locale, timezone=sample_timezone(locale), notice=sample.notice)
        yield Card(f"{name}-{locale}", card)


def measure(
    node: Node,
    chromium: str,
    shown: Iterable[Card],
    *,
    folder: Path | None = None,
    everything: bool = True,
    themes: Sequence[str] = THEMES,
) -> list[Measurement]:
    """Draw each card in every width and theme and return the measurements, ordered by name, width and theme.

    Unless `everything`, only the narrowest cards are drawn, and of the cards with the same buttons only the largest is
    opened, in the first theme: this takes a quarter of the time. With a folder (absolute), save the pictures there.
    Raises subprocess.CalledProcessError if the browser fails.
    """
    drawn = [asdict(each) for each in shown]
    job = {
        "program": chromium,
        "cards": drawn,
        "widths": WIDTHS,
        "themes": themes,
        "folder": str(folder) if folder else None,
        "everything": everything,
    }
    run = subprocess.run(
        [node.program, "measure_cards.cjs"],
        input=json.dumps(job),
        cwd=HERE,
        env={**os.environ, "FONTCONFIG_FILE": str(HERE / "fonts.conf")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    order = {card["name"]: number for number, card in enumerate(drawn)}
    measured = map(Measurement.parse, run.stdout.splitlines())
    return sorted(measured, key=lambda each: (order[each.name], each.width, THEMES.index(each.theme)))


def page(measured: Iterable[Measurement]) -> str:
    """Return the HTML page with all pictures, and the figures and faults below each."""
    parts = [PAGE]
    for name, group in groupby(measured, key=lambda each: each.name):
        parts.append(f'<h2 id="{name}">{name}</h2>\n<section>\n')
        parts += [_figure(each) for each in group]
        parts.append("</section>\n")
    return "".join(parts)


def _figure(each: Measurement) -> str:
    opened = f", “{each.opened}” clicked" if each.opened else ""
    lines = [f"{each.width} px, {each.theme}{opened}: {each.height} px high"]
    lines += [f"{button.name}: ends at {button.bottom} px" for button in each.buttons]
    text = "<br>".join(map(escape, lines)) + "".join(f"<br><strong>{escape(fault)}</strong>" for fault in each.faults)
    return f'<figure><img src="{each.picture}" loading="lazy" alt=""><figcaption>{text}</figcaption></figure>\n'


def main(folder: Path) -> int:
    """Write the gallery into the folder and print what is wrong. Return the exit code: 1 if a card has a fault."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):  # of samples that no longer exist
        old.unlink()
    try:
        measured = measure(install_node_packages(), find_chromium(), cards(), folder=folder.resolve())
    except (NodeMissing, InstallFailed, BrowserMissing) as error:
        print(error, file=sys.stderr)
        return 1
    (folder / "index.html").write_text(page(measured), "utf-8")
    rows = [{**asdict(each), "faults": each.faults} for each in measured]
    (folder / "measurements.json").write_text(json.dumps(rows, ensure_ascii=False, indent=1), "utf-8")
    faulty = [each for each in measured if each.faults]
    for each in faulty:
        print(f"{each.picture}: {'; '.join(each.faults)}")
    print(f"{len(measured)} pictures, {len(faulty)} with faults: {folder / 'index.html'}")
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
