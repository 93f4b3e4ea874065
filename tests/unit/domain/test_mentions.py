"""Tests for bot.domain.shown.mentions: the people that a reason mentions."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.identity import Person
from bot.domain.members import Members
from bot.domain.shown.mentions import MOST, may_mention, mentioned
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, person
from tests.unit.domain.sample import TARO_REQUESTER

ALEX = replace(person(1, "Alex Wilber"), upn="alex.wilber@example.com", mail="alex@example.com")
ALEXIS = person(2, "Alex")
ONEIL = person(3, "Anne O'Neil")
MEI = person(4, "鈴木 芽依")
MI = person(5, "佐藤 み")
OPS = person(6, "Tanaka Ichiro (Ops)")
EMI = person(7, "山田 エミ")
JOERG = person(8, "Jörg Müller")
MEMBERS = (HANAKO, ICHIRO, TARO_PERSON, ALEX, ALEXIS, ONEIL, MEI, MI, OPS, EMI, JOERG)


def named(text: str, *members: Person, never: tuple[str, ...] = ()) -> list[str]:
    """Return the names of the people that a text mentions."""
    return [each.name for each in mentioned(text, Members(members or MEMBERS), requester=TARO_REQUESTER, never=never)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("5xx on checkout, please @Alex Wilber", ["Alex Wilber"]),
        ("@alex wilber: have a look", ["Alex Wilber"]),
        ("(@ALEX  WILBER)", ["Alex Wilber"]),
        ("@Alex Wilber's request", ["Alex Wilber"]),
        ("@Alex Wilberさん、お願いします", ["Alex Wilber"]),
        ("@Alex, please", ["Alex"]),
        ("@alex.wilber@example.com.", ["Alex Wilber"]),
        ("@alex@example.com", ["Alex Wilber"]),
        ("@anne o'neil", ["Anne O'Neil"]),
        ("@Tanaka Ichiro (Ops)and", ["Tanaka Ichiro (Ops)"]),
        ("＠ａｌｅｘ　ｗｉｌｂｅｒ", ["Alex Wilber"]),  # full-width forms and blank
        ("@佐藤 花子", ["佐藤 花子"]),
        ("@佐藤花子さん", ["佐藤 花子"]),
        ("承認は@佐藤　花子部長に確認済み", ["佐藤 花子"]),
        ("＠佐藤花子、＠田中一郎へ", ["佐藤 花子", "田中 一郎"]),
        ("@佐藤花子に依頼", ["佐藤 花子"]),
        ("@山田エミさんへ", ["山田 エミ"]),  # katakana
        ("@佐藤花子。よろしく", ["佐藤 花子"]),
        ("@jörg  müller", ["Jörg Müller"]),
        ("@Alex\u200b Wilber", ["Alex Wilber"]),
        ("@田中一郎 @Alex Wilber @田中 一郎", ["田中 一郎", "Alex Wilber"]),  # once each, in the text's order
    ],
)
def test_whole_names_of_members_in_any_spelling_are_mentions(text: str, names: list[str]) -> None:
    """Case, width, and blanks in Japanese names make no difference. Text such as `さん` may follow a name."""
    assert named(text) == names
    assert may_mention(text)


@pytest.mark.parametrize(
    "text",
    [
        "alex.wilber@example.com wrote",  # an address is not a mention
        "bob@Alex",
        "bob＠alex",
        "@ Alex",
        "@Wilber",
        "@Alexander",
        "@Alex-Maria",
        "@alex.wilber@example.com.evil",
        "@alex@example.comx",
        "@Alex\u0301",  # Aléx is another name
        "@佐藤",
        "@佐藤花子郎",  # a longer name, which no member has
        "@佐藤みなみ",
        "@山田エミリ",
        "@Alex_2",
        "@Anne O'Neill",
        "@Alex Wilber-Jones",
        "@",
        "",
    ],
)
def test_parts_of_names_and_addresses_mention_no_one(text: str) -> None:
    """Only a whole name is a mention, and `bob@example.com` is an address, not a mention of Bob."""
    assert named(text, ALEX, replace(ALEXIS, guest="Wilber" in text), ONEIL, HANAKO, MI, EMI) == []


def test_longest_matching_name_is_the_one_that_is_mentioned() -> None:
    """The text "@Alex Wilber" mentions Alex Wilber and not Alex."""
    assert named("@Alex Wilber", ALEXIS, ALEX) == ["Alex Wilber"]


@pytest.mark.parametrize("twin", [replace(ALEX, object_id="x"), replace(ALEX, object_id="x", guest=True)])
def test_name_of_several_people_mentions_no_one(twin: Person) -> None:
    """A person whose name is the beginning of that name is not mentioned either. An address still finds one person."""
    twin = replace(twin, upn="other@example.com", mail=None)
    assert named("@Alex Wilber", ALEX, twin, ALEXIS) == []
    assert named("@alex.wilber@example.com", ALEX, twin, ALEXIS) == ["Alex Wilber"]


def test_names_that_look_alike_mention_no_one() -> None:
    """If the names of two people differ only in case, width or invisible characters, neither person is mentioned."""
    for spelling in ("alex WILBER", "Ａｌｅｘ Wilber", "Alex\u200b Wilber", "Alex\u3000Wilber"):
        assert named("@Alex Wilber", ALEX, person(9, spelling)) == []
    assert named("@佐藤花子", HANAKO, person(9, "佐藤花子")) == []


def test_guest_whose_name_is_in_the_reason_is_not_mentioned() -> None:
    """The roster marks the member as a guest."""
    assert named("@Alex Wilber", replace(ALEX, guest=True)) == []


def test_requester_whose_name_is_in_the_reason_is_not_mentioned() -> None:
    """Neither the requester's name nor the requester's UPN is a mention."""
    assert named("@山田 太郎 @taro.yamada@example.com", *MEMBERS) == []


TITLES = (("佐藤花子", "様 氏 殿 君 先生 先輩 社長 部長 室長 課長 係長 主任"), ("佐藤み", "さん さま くん ちゃん"))


@pytest.mark.parametrize(("name", "titles"), TITLES)
def test_japanese_title_may_follow_a_name_without_a_blank(name: str, titles: str) -> None:
    """Name and title are of one script. Any other word there would make it a longer name."""
    for title in titles.split():
        assert named(f"@{name}{title}に依頼") == named(f"@{name}") != []


GROUPS = ("channel", "Team", "EVERYONE", "everybody", "all", "here", "general", "Production approvals")
GROUPS_JA = ("チャネル", "チャンネル", "チーム", "全員", "みんな", "みなさん", "皆さん", "皆様", "一般")


@pytest.mark.parametrize("everybody", GROUPS + GROUPS_JA)
def test_name_of_a_group_in_the_reason_is_never_a_mention(everybody: str) -> None:
    """The name of a group is not a mention, even if a member has the same name."""
    assert named(f"@{everybody}", person(7, everybody), never=("production Approvals",)) == []


def test_number_of_mentions_is_limited() -> None:
    """Only the first MOST people are mentioned. The requester's own name does not count towards the limit."""
    crowd = [person(number) for number in range(9)]
    text = "@山田 太郎 " + " ".join(f"@{each.name}" for each in crowd)
    assert named(text, TARO_PERSON, *crowd) == [each.name for each in crowd[:MOST]]


def test_members_without_a_name_are_found_by_address_only() -> None:
    """An empty or invisible name never matches a mention."""
    assert named("@ @\u200b", replace(ALEX, name=""), replace(ALEX, object_id="x", name="\u200b")) == []
    assert [
        each.upn for each in mentioned("@alex@example.com", Members([replace(ALEX, name="")]), requester=TARO_REQUESTER)
    ]


@given(st.text(st.sampled_from("@＠ ae.'-佐藤花子みさん\n\u200b\u0301"), max_size=60))
def test_any_text_mentions_at_most_five_members_each_once(text: str) -> None:
    """If a text mentions anyone, `may_mention` is true for it, so the roster is read."""
    found = mentioned(text, Members(MEMBERS), requester=TARO_REQUESTER)
    assert set(found) <= set(MEMBERS)
    assert len(set(found)) == len(found) <= MOST == 5
    assert not found or may_mention(text)
