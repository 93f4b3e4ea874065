"""Compares the binder with the official engine (npm adaptivecards-templating) on the same templates and data."""

import json
import os
import subprocess
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from bot.rendering.formatter import LIMITS, CardFormatter
from bot.rendering.i18n import LOCALES, Localizer
from bot.rendering.render import presentation, template_data
from bot.rendering.template import Template
from bot.sandbox.node import InstallFailed, NodeMissing
from tests.e2e.node import HERE, install_node_packages
from tests.fakes.views import every_view

SCRIPT = Path(__file__).with_name("expand_templates.cjs")
DATA: dict[str, Any] = {
    "name": "web-prod-01",
    "count": 3,
    "yes": True,
    "no": False,
    "nothing": None,
    "zero": 0,
    "empty": "",
    "literal": "${name} \\${name}",
    "person": {"name": "花子", "roles": ["lead", "approver"]},
    "rows": [{"label": "a", "on": True, "lines": [["x"], ["y", "z"]]}, {"label": "b", "on": False, "lines": []}],
    "none": [],
}
TEMPLATES: list[dict[str, Any]] = [
    {"it": text}
    for text in (
        "plain", "${name}", "${count}", "${yes}", "${nothing}", "${ person.name }", "${person.roles[1]}", "${literal}",
        "a ${literal} b", "${$root.count}", "${$data.count}", "${person}", "${person.roles}", "${name}: ${count} ${yes}",
        "$${count}", "{name} $ {", "${if(yes, 'a', 'b')}", "${if(no, 1, name)}", "${if(nothing, 1, 2)}",
        "${if(zero, 1, 2)}", "${if(empty, 1, 2)}", "${if(none, 1, 2)}", "${if(count > 2, if(no, 'x', 'y'), \"}\")}",
        "${count == 3}", "${count != 3}", "${count >= 3.0}", "${count < -1}", "${nothing == null}", "${name <= 'x'}",
        "${yes == true}", "${count == '3'}", "a ${if(count == 3, 'yes', 'no')} b",
    )
] + [
    {"it": [{"$data": "${rows}", "text": "${label}", "at": "${$index}", "all": "${$root.count}"}, "last"]},
    {"it": [{"$data": "${rows}", "$when": "${on}", "text": "${label}"}]},
    {"it": [{"$data": "${rows}", "$when": "${$index == 1}", "text": "${label}"}]},
    {"it": [{"$data": "${none}", "text": "x"}]},
    {"it": [{"$data": "${person.roles}", "text": "${$data} ${$index}"}]},
    {"it": [{"$data": "${rows}", "i": [{"$data": "${lines}", "r": [{"$data": "${$data}", "t": "${$data}"}]}]}]},
    {"it": {"$data": "${person}", "text": "${name}"}},
    {"it": {"$data": "${rows}", "text": "${label}"}},
    {"it": [{"$data": "${person}", "text": "${name}"}]},
    {"it": [{"$when": "${no}", "a": 1}, {"$when": "${yes}", "a": 2}, {"$when": "${name}", "a": 3}, {"$when": "${nothing}"}]},
]  # fmt: skip


@pytest.fixture(scope="module")
def node() -> Path:
    """Return the program node, with the official engine installed. Without it, fail in CI and skip elsewhere."""
    try:
        return install_node_packages().program
    except (NodeMissing, InstallFailed) as error:
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(f"CI=true, but: {error}", pytrace=False)
        pytest.skip(str(error))


def expanded(node: Path, templates: Sequence[Any], cases: Sequence[tuple[int, Any]]) -> list[Any]:
    """Return the official engine's result for each case: the index of a template, and data."""
    run = subprocess.run(
        [node, str(SCRIPT)],
        input=json.dumps({"templates": templates, "cases": cases}),
        env={**os.environ, "NODE_PATH": str(HERE / "node_modules")},
        capture_output=True,
        text=True,
        check=True,
    )
    return list(json.loads(run.stdout))


def test_supported_expressions_give_the_same_result_as_the_official_engine(node: Path) -> None:
    """For each template, the binder's result equals the official engine's."""
    theirs = expanded(node, TEMPLATES, [(index, DATA) for index in range(len(TEMPLATES))])
    ours = [Template.parse(template).bind(DATA) for template in TEMPLATES]
    for template, our, their in zip(TEMPLATES, ours, theirs, strict=True):
        assert our == their, template


def test_every_card_equals_the_one_from_the_official_engine(node: Path) -> None:
    """Every view in every language becomes the card that the official engine makes."""
    names = sorted({presentation(view).template for view, _ in every_view()})
    templates = [json.loads((files("cards") / f"{name}.json").read_text("utf-8")) for name in names]
    cases = [
        (names.index(presentation(view).template), template_data(view, formatter, notice))
        for locale in LOCALES
        for formatter in [CardFormatter(Localizer(locale, "Asia/Tokyo"), LIMITS[0])]
        for view, notice in every_view()
    ]
    theirs = expanded(node, templates, cases)
    parsed = [Template.parse(template) for template in templates]
    ours = [parsed[index].bind(data) for index, data in cases]
    differing = sum(our != their for our, their in zip(ours, theirs, strict=True))
    assert differing == 0
