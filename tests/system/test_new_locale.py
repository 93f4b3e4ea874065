"""A new language needs one file of words, and no change of the program."""

import json
import os
import shutil
import subprocess
import sys
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FRENCH = {"card": {"approve": "Approuver"}, "manifest": {"short": "Approuver ou refuser des accès."}}
PROGRAM = """
import json
from bot.app_package.manifest import LANGUAGE_FILES
from bot.config.file import parse_configuration
from bot.domain.shown.replies.reply_views import HelpView
from bot.rendering import render
from bot.rendering.i18n import Localizer, matching_locale
from datetime import UTC, datetime, timedelta
from tests.unit.app_package.packages import DETAILS
from bot.app_package.manifest import translation

file = b'[[channels]]\\nname = "a"\\nconversation = "19:a@thread.tacv2"\\nlocale = "fr"\\n'
say = Localizer("fr", "UTC")
print(json.dumps({
    "channel": parse_configuration(file).channels[0].locale,
    "client": matching_locale("fr-CA"),
    "package": LANGUAGE_FILES["fr"],
    "short": translation(DETAILS, "fr")["description.short"],
    "help": render(HelpView(), locale="fr", timezone="UTC")["lang"],
    "moment": say.moment(datetime(2026, 11, 30, 5, 19, tzinfo=UTC)),
    "duration": say.duration(timedelta(hours=2)),
}))
"""


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a copy of the package `cards` that has one more file of words."""
    folder = tmp_path_factory.mktemp("with-french")
    with as_file(files("cards")) as package:
        shutil.copytree(package, folder / "cards", ignore=shutil.ignore_patterns("__pycache__"))
    locales = folder / "cards" / "locales"
    words = json.loads((locales / "en.json").read_text("utf-8"))
    for group, said in FRENCH.items():
        words[group] |= said
    (locales / "fr.json").write_text(json.dumps(words), "utf-8")
    return folder


def run(folder: Path, *words: str) -> Any:
    """Run Python with the copy of `cards`; return the JSON that it prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (folder, ROOT)))}
    done = subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, cwd=folder, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_command_line_renders_cards_in_the_new_language(cards: Path) -> None:
    """`render --locale` accepts the language and uses its words."""
    card = run(cards, "-m", "bot", "render", "request", "--locale", "fr")
    assert card["lang"] == "fr"
    assert "Approuver" in json.dumps(card)


def test_channels_clients_and_the_app_package_use_the_new_language(cards: Path) -> None:
    """Dates and durations come from CLDR. The app package has a file for the language."""
    assert run(cards, "-c", PROGRAM) == {
        "channel": "fr",
        "client": "fr",
        "package": "fr.json",
        "short": "Approuver ou refuser des accès.",
        "help": "fr",
        "moment": "lun.\N{NO-BREAK SPACE}30\N{NO-BREAK SPACE}nov.\N{NO-BREAK SPACE}2026, 05:19\N{NO-BREAK SPACE}UTC",
        "duration": "2\u00a0heures",
    }
