"""Tests for bot.domain.members: the index finds exactly the members that a comparison with each of them finds."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.identity import Person, Principal, Requester, spellings_of
from bot.domain.members import Members
from bot.text.names import folded

# spellings that are equal, or nearly, by one of the rules of bot.text.names
ADDRESSES = (
    "taro.yamada@example.com",
    " TARO.Yamada@EXAMPLE.com",
    "ｔａｒｏ．ｙａｍａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ",
    "taro.\u200byamada@example.com",
    "taro.yamada@example.com.",
    "taro.yamada_example.com#EXT#@example.org",
    "taro.yamada@bücher.example",
    "taro.yamada@xn--bcher-kva.example",
    "taro.yamada@example.org",
    "ﬁona@example.com",
    "fiona@example.com",
    "İpek@example.com",
    "i\u0307pek@example.com",
    "",
)
IDS = tuple(f"AAAAAAAA-0000-4000-8000-{number:012d}" for number in range(4))
NAMES = (*ADDRESSES, "taro.yamada", "fiona", "29:1-0", *IDS)
PEOPLE = st.builds(
    Person,
    object_id=st.sampled_from((*IDS, *map(str.lower, IDS))),
    tenant_id=st.just("tenant"),
    name=st.sampled_from(("山田 太郎", "山田　太郎", "Taro Yamada", "")),
    upn=st.sampled_from((None, *ADDRESSES)),
    mail=st.sampled_from((None, *ADDRESSES)),
    teams_id=st.sampled_from((None, "29:1-0", "29:1-1")),
    guest=st.booleans(),
)
REQUESTERS = st.builds(
    lambda session, names, identified: Requester(
        Principal.parse(f"arn:aws:sts::111122223333:assumed-role/Operator/{session}"),
        identified=identified,
        spellings=spellings_of(*names),
    ),
    st.sampled_from(("taro.yamada@example.com", "taro.yamada", "fiona")),
    st.lists(st.sampled_from(NAMES), max_size=3),
    st.booleans(),
)


def last_of_each(people: list[Person]) -> list[Person]:
    """Return the last entry of each person, in the order of the first ones."""
    return list({each.user: each for each in people}.values())


@settings(max_examples=150, deadline=None)
@given(people=st.lists(PEOPLE, max_size=6), requester=REQUESTERS)
def test_members_who_may_be_the_requester_are_those_that_a_comparison_with_each_finds(
    people: list[Person], requester: Requester
) -> None:
    """If the index missed a person, they could decide their own request."""
    everyone = last_of_each(people)
    assert Members(people).who_may_be(requester) == [each for each in everyone if requester.is_person(each)]


@settings(max_examples=150, deadline=None)
@given(people=st.lists(PEOPLE, max_size=6), names=st.sets(st.sampled_from(NAMES), max_size=3))
def test_members_with_a_name_are_those_that_a_comparison_with_each_finds(people: list[Person], names: set[str]) -> None:
    """If the index missed a person, an ambiguous name would look clear."""
    wanted = folded(names)
    assert Members(people).named(wanted) == [each for each in last_of_each(people) if each.is_named(wanted)]


def test_member_who_was_read_again_is_found_by_the_new_names_only() -> None:
    """The former roster is unchanged: another task may use it."""
    before = Person(IDS[0].lower(), "tenant", "山田 太郎", "former@example.com", "former@example.com", "29:1-0")
    now = replace(before, name="山田 花子", upn="now@example.com", mail="now@example.com")
    former = Members([before])
    members = former.with_member(now)
    assert (len(members), members.get(IDS[0]), members.called("山田花子")) == (1, now, (now,))
    assert members.named(folded(["now@example.com"])) == [now]
    assert members.named(folded(["former@example.com"])) == []
    assert members.called("山田太郎") == ()
    assert former.named(folded(["former@example.com"])) == [before]
    assert former.called("山田太郎") == (before,)
