"""Tests for bot.domain.shown.links: links that open a message of a channel in Teams."""

from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from bot.domain.shown.links import TeamsSite

SITE = TeamsSite("https://teams.microsoft.com", "11111111-1111-4111-8111-111111111111")
CHANNEL = "19:approvers@thread.tacv2"
GROUP = "22222222-2222-4222-8222-222222222222"


def test_link_to_a_card_has_the_channel_the_message_and_the_ids_that_teams_documents() -> None:
    """A card is the first message of its thread, so it is its own parent."""
    link = SITE.message_link(f"{CHANNEL};messageid=1000", "1000", group_id=GROUP)
    assert link == (
        "https://teams.microsoft.com/l/message/19%3Aapprovers%40thread.tacv2/1000"
        f"?tenantId={SITE.tenant_id}&groupId={GROUP}&parentMessageId=1000"
    )


def test_link_to_a_reply_names_the_first_message_of_its_thread_as_the_parent() -> None:
    """A note is a reply in the card's thread."""
    link = SITE.message_link(f"{CHANNEL};messageid=1000", "1001", group_id=GROUP)
    assert link is not None
    assert (urlsplit(link).path.rpartition("/")[2], parse_qs(urlsplit(link).query)["parentMessageId"]) == (
        "1001",
        ["1000"],
    )


@pytest.mark.parametrize(
    ("conversation", "activity", "group"),
    [
        (None, "1000", GROUP),
        (CHANNEL, None, GROUP),
        (CHANNEL, "1000", None),
        ("a:personal-chat", "1000", GROUP),
        ("19:group@thread.v2", "1000", GROUP),
    ],
)
def test_there_is_no_link_if_a_part_is_unknown_or_the_message_is_in_no_channel(
    conversation: str | None, activity: str | None, group: str | None
) -> None:
    """A link that Teams cannot open would be worse than none."""
    assert SITE.message_link(conversation, activity, group_id=group) is None


def test_ids_from_outside_cannot_change_the_host_the_path_or_the_query_of_a_link() -> None:
    """Every character with a meaning in an address is quoted, and the ids are unchanged when they are read back."""
    hostile = "../?tenantId=evil&x=#@evil.example.com/ \\"
    channel = f"19:{hostile}@thread.tacv2"
    link = SITE.message_link(channel, hostile, group_id=hostile)
    assert link is not None
    address = urlsplit(link)
    assert (address.netloc, address.fragment) == ("teams.microsoft.com", "")
    assert [unquote(each) for each in address.path.split("/")] == ["", "l", "message", channel, hostile]
    assert parse_qs(address.query, strict_parsing=True) == {
        "tenantId": [SITE.tenant_id],
        "groupId": [hostile],
        "parentMessageId": [hostile],
    }
