"""Tests for binding card templates to data."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.rendering.template import BindError, Template, TemplateError

DATA: dict[str, object] = {
    "name": "web-prod-01",
    "count": 3,
    "yes": True,
    "no": False,
    "nothing": None,
    "zero": 0,
    "empty": "",
    "person": {"name": "Hanako", "roles": ["lead", "approver"]},
    "rows": [{"label": "a", "on": True}, {"label": "b", "on": False}],
    "none": [],
}


def bound(value: object, data: dict[str, object] | None = None) -> Any:
    """Return a property of a card after its value in the template was bound to `data`, by default to DATA."""
    return Template.parse({"it": value}).bind(DATA if data is None else data)["it"]


@pytest.mark.parametrize(
    ("template", "result"),
    [
        ("plain", "plain"),
        ("${name}", "web-prod-01"),
        ("${count}", 3),
        ("${yes}", True),
        ("${nothing}", None),
        ("${ person.name }", "Hanako"),
        ("${person.roles[1]}", "approver"),
        ("${rows[0].label}", "a"),
        ("${$root.person.name}", "Hanako"),
        ("${$data.count}", 3),
        ("${person.roles}", ["lead", "approver"]),
        ("${name}: ${count} ${yes}", "web-prod-01: 3 true"),
        ("$${count}", "$3"),
        ("{name} $ {", "{name} $ {"),
        (["${count}", 1.5, None], [3, 1.5, None]),
    ],
)
def test_template_expression_becomes_the_value_at_its_path(template: object, result: object) -> None:
    """A text that is only one expression becomes its value, of any type. Any other text stays text."""
    assert bound(template) == result
    assert type(bound(template)) is type(result)


@pytest.mark.parametrize(
    ("template", "result"),
    [
        ("${if(yes, 'a', 'b')}", "a"),
        ("${if(no, 'a', name)}", "web-prod-01"),
        ("${if(nothing, 1, 2)}", 2),
        ("${if(zero, 1, 2)}", 1),
        ("${if(empty, 1, 2)}", 1),
        ("${if(none, 1, 2)}", 1),
        ("${if(count > 2, if(yes, 'deep', ''), \"}\")}", "deep"),
        ("${count == 3}", True),
        ("${count != 3}", False),
        ("${count >= 3.0}", True),
        ("${count < -1}", False),
        ("${yes == 1}", False),
        ("${nothing == null}", True),
        ("${name <= 'x'}", True),
        ("${'}' == name}", False),
    ],
)
def test_if_and_comparisons_in_templates_return_the_documented_results(template: str, result: object) -> None:
    """`if` treats every value except false and null as true. Comparisons never treat true as equal to 1."""
    assert bound(template) == result


def test_array_as_data_repeats_the_template_element_for_each_item() -> None:
    """`$data` with an array makes one element for each item. Each has its own scope and index."""
    element = {"$data": "${rows}", "text": "${label}", "at": "${$index}", "all": "${$root.count}"}
    assert bound([element, "last"]) == [
        {"text": "a", "at": 0, "all": 3},
        {"text": "b", "at": 1, "all": 3},
        "last",
    ]


def test_template_element_with_an_empty_array_as_data_is_left_out() -> None:
    """If `$data` is an empty array, the element is left out."""
    assert bound([{"$data": "${none}", "text": "x"}]) == []


def test_object_as_data_becomes_the_scope_of_the_template_element() -> None:
    """If `$data` is an object, names are looked up only in that object, not in the outer scope."""
    assert bound({"$data": "${person}", "text": "${name}"}) == {"text": "Hanako"}
    with pytest.raises(BindError):
        bound({"$data": "${person}", "text": "${count}"})


def test_template_element_stays_only_if_its_when_is_true() -> None:
    """`$when` is evaluated in the element's own scope. Any value other than true drops the element."""
    assert bound([{"$when": "${no}", "a": 1}, {"$when": "${yes}", "a": 2}, {"$when": "${name}", "a": 3}]) == [{"a": 2}]
    assert bound([{"$data": "${rows}", "$when": "${on}", "text": "${label}"}]) == [{"text": "a"}]
    assert bound([{"$data": "${rows}", "$when": "${$index == 1}", "text": "${label}"}]) == [{"text": "b"}]


def test_repeated_template_element_may_contain_repeated_elements() -> None:
    """Each repetition has its own scope."""
    data: dict[str, object] = {"rows": [{"lines": [["a"], ["b", "c"]]}, {"lines": []}]}
    element = {"$data": "${rows}", "items": [{"$data": "${lines}", "runs": [{"$data": "${$data}", "t": "${$data}"}]}]}
    assert bound([element], data) == [
        {"items": [{"runs": [{"t": "a"}]}, {"runs": [{"t": "b"}, {"t": "c"}]}]},
        {"items": []},
    ]


@pytest.mark.parametrize(
    "template",
    [
        "${",
        "${}",
        "${name",
        "${name name}",
        "${name.}",
        "${rows[x]}",
        "${rows[-1]}",
        "${concat(name, 'x')}",
        "${if(yes, 1)}",
        "${1 + 1}",
        "${!yes}",
        "${yes && no}",
        "${'constant'}",
        "${true}",
        "${$host.theme}",
        "${$index.a}",
        "${(count)}",
        "${if}x${",
        "\\${name}",
        "{{DATE(2026-11-30T05:19:00Z)}}",
        {"$when": "${yes}"},
        {"$data": "rows"},
        {"$data": "x ${rows}"},
        {"$data": "${rows} "},
        {"$data": ["a"]},
        {"$ref": "x"},
        {"${name}": "x"},
        [{"$when": True}],
        [{"$when": "yes"}],
        {1, 2},
    ],
)
def test_unsupported_template_is_refused_when_loaded(template: object) -> None:
    """Loading refuses malformed expressions, and features of the template language that the bot does not support."""
    with pytest.raises(TemplateError):
        Template.parse({"it": template})


def test_template_must_be_an_object() -> None:
    """A template whose root is not an object is refused."""
    with pytest.raises(TemplateError):
        Template.parse([])


@pytest.mark.parametrize(
    "template",
    [
        "${missing}",
        "${name.part}",
        "${rows[2]}",
        "${name[0]}",
        "${nothing.part}",
        "x ${nothing}",
        "x ${rows}",
        "${$index}",
        "${count < name}",
        "${yes < 2}",
        [{"$data": "${name}"}],
        [{"$data": "${nothing}"}],
    ],
)
def test_template_data_without_a_suitable_value_are_refused(template: object) -> None:
    """Binding fails if a value is missing or has the wrong type."""
    with pytest.raises(BindError):
        bound(template)


def test_binding_a_value_that_is_not_json_to_a_template_is_refused() -> None:
    """Only JSON values can be bound."""
    with pytest.raises(BindError):
        bound("${x}", {"x": object()})


@pytest.mark.parametrize("text", ["${name}", "{{DATE(2026-11-30T05:19:00Z)}}", "${", "$when", '"}'])
def test_text_that_is_bound_to_a_template_is_not_parsed_as_an_expression(text: str) -> None:
    """Text from outside that looks like an expression stays text."""
    shown = bound(["${x}", "a ${x}"], {"x": text, "name": "secret"})
    assert [each.replace("\u200b", "") for each in shown] == [text, f"a {text}"]
    assert not any("{{" in each for each in shown)


def test_text_that_is_bound_to_a_template_never_creates_a_text_function() -> None:
    """If bound text would form `{{`, the braces are separated, also deep inside arrays and objects."""
    assert "{{" not in bound("{${x}", {"x": "{DATE(2026-11-30T05:19:00Z)}}"})
    assert "{{" not in bound("${x}", {"x": [{"y": "{{TIME()}}"}]})[0]["y"]


def test_bound_cards_share_no_objects_with_the_data_or_each_other() -> None:
    """Changing one card changes neither the next card nor the data."""
    template = Template.parse({"fixed": [{"a": 1}], "whole": "${x}"})
    data: dict[str, object] = {"x": [{"b": 1}]}
    card: Any = template.bind(data)
    card["fixed"][0]["a"] = card["whole"][0]["b"] = 2
    assert template.bind(data) == {"fixed": [{"a": 1}], "whole": [{"b": 1}]}


@given(st.recursive(st.text() | st.integers() | st.booleans() | st.none(), st.lists, max_leaves=8))
def test_any_template_is_loaded_or_refused(tree: object) -> None:
    """Loading any JSON succeeds or raises TemplateError. Binding a loaded template succeeds or raises BindError."""
    try:
        template = Template.parse({"it": tree})
    except TemplateError:
        return
    try:
        template.bind(DATA)
    except BindError:
        return


@given(st.text(alphabet="${}()[].,'\"if ntaume0123<=!", max_size=24))
def test_any_template_expression_is_loaded_or_refused(text: str) -> None:
    """Loading succeeds or raises TemplateError, however malformed the expression is."""
    try:
        Template.parse({"it": "${" + text + "}"})
    except TemplateError:
        return
