"""Tests for bot.text.names: the two rules by which names are equal."""

import ast
import tracemalloc
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bot
from bot.text.names import NAMES_KEPT, as_typed, exact, fold, folded

NAMES = st.text(st.characters(codec="utf-8"), max_size=12)


@given(NAMES, NAMES)
def test_names_that_are_exactly_equal_are_equal_when_folded(one: str, other: str) -> None:
    """A name that grants a person something by `exact` also refuses that person by `fold`."""
    assert fold(exact(one)) == fold(one)
    assert exact(one) != exact(other) or fold(one) == fold(other)


@given(NAMES)
def test_folding_a_folded_name_does_not_change_it(name: str) -> None:
    """Stored names are folded again when they are compared."""
    assert fold(fold(name)) == fold(name)
    assert exact(exact(name)) == exact(name)


@given(NAMES)
def test_names_that_earlier_versions_stored_fold_to_the_same(name: str) -> None:
    """Earlier versions stored names stripped and case-folded."""
    assert fold(name.strip().casefold()) == fold(name)


def test_exact_names_are_equal_only_if_they_differ_at_most_in_case() -> None:
    """No two characters have the same exact form, except a letter in both cases."""
    every = map(chr, range(0x110000))
    changing = {each for each in every if each.lower() != each or unicodedata.decomposition(each)}
    forms: dict[str, set[str]] = {}
    for each in changing | {each.lower() for each in changing} | set(map(chr, range(128))):
        forms.setdefault(exact(f"a{each}b"), set()).add(each)
    equal = [each for each in forms.values() if len(each) > 1]
    assert [each for each in equal if len({letter.lower() for letter in each}) > 1] == []
    assert [each for each in equal if any(map(_replaces_another, each))] == []


def _replaces_another(letter: str) -> bool:
    """True for a character that Unicode replaces by another one, such as the Kelvin sign by the letter K."""
    parts = unicodedata.decomposition(letter).split() if len(letter) == 1 else []
    return len(parts) == 1 or bool(parts and parts[0].startswith("<"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ｊｉｒｏ＠ｅｘａｍｐｌｅ．ｃｏｍ", "jiro@example.com"),
        ("Jiro@EXAMPLE.com", " jiro@example.com "),
        ("straße@example.com", "STRASSE@example.com"),
        ("jiro\u200b@example.com", "jiro@example.com"),
        ("\u212airo@example.com", "kiro@example.com"),
        ("ﬁ@example.com", "fi@example.com"),
        ("ΣΊΣΥΦΟΣ@example.com", "σίσυφος@example.com"),
        (unicodedata.normalize("NFD", "ダイ@example.com"), "ﾀﾞｲ@example.com"),
        ("\u0131s\u0130l@example.com", "ISIL@example.com"),
        ("jiro@example.com.", "jiro@example.com"),
        ("jiro@example。com", "jiro@example.com"),
        ("jiro@xn--bcher-kva.example", "jiro@BÜCHER.example"),
        ("jiro@xn--strae-oqa.example", "jiro@strasse.example"),
    ],
)
def test_names_that_differ_only_in_spelling_are_equal_when_folded(one: str, other: str) -> None:
    """Case, width, encoding, invisible characters and a dot at the end do not make another name."""
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("jiro", "taro"), ("jose", "josé"), ("jiro", "jir0"), ("a.b", "ab")])
def test_names_with_different_letters_are_equal_under_neither_rule(one: str, other: str) -> None:
    """Neither rule drops an accent or a dot, or makes two letters equal that only look alike."""
    assert fold(one) != fold(other)
    assert exact(one) != exact(other)


@pytest.mark.parametrize(
    "domain", ["xn--", "xn--xn--a-", "xn--99999999999", "xn--" * 500, "xn--a.xn--b", "xn--ü", "xn--www-tx7a"]
)
def test_folding_a_name_with_an_invalid_punycode_domain_raises_no_error(domain: str) -> None:
    """The name before the domain stays, and folding again changes nothing."""
    name = f"jiro@{domain}"
    assert fold(name).startswith("jiro@")
    assert fold(fold(name)) == fold(name)


def test_folded_leaves_out_names_without_visible_characters() -> None:
    """An empty name would equal another empty name."""
    assert folded(["", " ", "\u200b", "A"]) == {"a"}


def test_as_typed_converts_full_width_letters_to_plain_ones() -> None:
    """Full-width letters of an input method become plain ones. The Kelvin sign, which looks like a K, does not."""
    assert as_typed("ｕｐｎ：ｊｉｒｏ＠ｅｘａｍｐｌｅ．ｃｏｍ") == "upn:jiro@example.com"
    assert as_typed("\u212airo@example.com") == "\u212airo@example.com"


def test_domain_and_service_normalize_names_only_with_the_module_for_names() -> None:
    """A separate comparison would miss spellings. The exceptions are names of roles and the UPN of a guest."""
    folding = {"casefold", "lower", "normalize"}
    found = {
        f"{path.parent.name}/{path.name}:{call.func.attr}"
        for package in ("domain", "service")
        for path in (Path(bot.__path__[0]) / package).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in folding
    }
    assert found == {"domain/identity.py:casefold", "domain/identity.py:lower"}


def test_folded_texts_that_are_longer_than_names_do_not_stay_in_memory() -> None:
    """People can type any number of different long texts."""
    fold("名前")
    tracemalloc.start()
    try:
        for number in range(NAMES_KEPT // 8):
            assert len(fold(f"{number} {'工' * 10_000}")) > 10_000
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2**20
