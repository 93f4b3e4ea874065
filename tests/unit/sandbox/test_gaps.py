"""Tests for bot.sandbox.teams.gaps: the differences between real Teams and the Playground."""

import json

import pytest

from bot.sandbox.teams.gaps import ConnectorCall, Refusal, completed, only_reader, shown_message, to_playground
from bot.sandbox.teams.people import ALEX, CASTS, HANAKO, MEI, PEOPLE, TARO, Person, playground_configuration

TENANT = "11111111-1111-4111-8111-111111111111"
SERVICE_URL = "http://127.0.0.1:1/amer/"


def complete(activity: dict[str, object]) -> dict[str, object]:
    return completed(activity, tenant_id=TENANT, service_url=SERVICE_URL)


def create(parameters: object) -> ConnectorCall | Refusal:
    call = ConnectorCall(method="POST", path="v3/conversations", body=json.dumps(parameters).encode())
    return to_playground(call, tenant_id=TENANT)


def direct(member: str, tenant: str = TENANT) -> ConnectorCall | Refusal:
    return create({"members": [{"id": member}], "channelData": {"tenant": {"id": tenant}}})


def test_click_of_the_playground_gets_the_trigger_manual() -> None:
    """Teams sends `trigger: manual` with a click; the Playground does not."""
    whole = complete({"type": "invoke", "value": {"action": {"verb": "approve"}}})
    assert whole["value"] == {"trigger": "manual", "action": {"verb": "approve"}}


def test_existing_trigger_of_an_invoke_is_kept() -> None:
    """The trigger of an automatic refresh is not replaced by `manual`."""
    whole = complete({"type": "invoke", "value": {"trigger": "automatic"}})
    assert whole["value"] == {"trigger": "automatic"}


def test_message_of_the_playground_gets_no_trigger() -> None:
    """Only invokes, such as clicks and refreshes, have a trigger."""
    assert "value" not in complete({"type": "message", "text": "pending"})


def test_sender_of_a_playground_activity_gets_object_id_and_client_language() -> None:
    """The sender gets a name and an object id. Locale and client info are those of the person's client."""
    whole = complete(
        {"from": {"id": MEI.mri}, "locale": "en-US", "entities": [{"type": "clientInfo"}, {"type": "mention"}]}
    )
    assert whole["from"] == {"id": MEI.mri, "name": MEI.name, "aadObjectId": MEI.object_id}
    assert whole["locale"] == "ja-JP"
    info = {"type": "clientInfo", "locale": "ja-JP", "timezone": "Asia/Tokyo", "country": "JP"}
    assert whole["entities"] == [info, {"type": "mention"}]


ENGLISH, JAPANESE = ("en-US", "UTC", "US"), ("ja-JP", "Asia/Tokyo", "JP")


@pytest.mark.parametrize(
    ("language", "person", "name", "client"),
    [
        ("en", TARO, "Taro Yamada", ENGLISH),
        ("en", ALEX, "Alex Wilber", ENGLISH),
        ("en", MEI, "Mei Suzuki (鈴木 芽依)", JAPANESE),
        ("ja", TARO, "山田 太郎", JAPANESE),
        ("ja", ALEX, "Alex Wilber", ENGLISH),
    ],
)
@pytest.mark.parametrize("true_sender", [False, True])
def test_language_of_the_sandbox_decides_the_name_and_the_client_of_the_sender(
    language: str, person: Person, name: str, client: tuple[str, str, str], true_sender: bool
) -> None:
    """All people but the colleague have a client in the language of the sandbox, whether the Playground names them or not."""
    locale, timezone, country = client
    whole = completed(
        {"from": {"id": (HANAKO if true_sender else person).mri}, "entities": [{"type": "clientInfo"}]},
        tenant_id=TENANT,
        service_url=SERVICE_URL,
        sender=person if true_sender else None,
        cast=CASTS[language],
    )
    assert (whole["from"]["name"], whole["from"]["aadObjectId"]) == (name, person.object_id)
    assert (whole["locale"], whole["localTimezone"]) == (locale, timezone)
    assert whole["entities"] == [{"type": "clientInfo", "locale": locale, "timezone": timezone, "country": country}]


def test_people_in_english_have_the_ids_of_the_people_in_japanese_and_readable_names() -> None:
    """Only the colleague's name has characters that an English reader cannot read, after the readable name."""
    english = CASTS["en"]
    assert [each.spellings for each in english.people] == [each.spellings for each in PEOPLE]
    assert {each.name.isascii() for each in english.people if each != english.colleague} == {True}
    assert {each.client.locale for each in english.people if each != english.colleague} == {"en-US"}
    assert english.colleague.name.startswith("Mei Suzuki")


@pytest.mark.parametrize(("language", "taro", "group"), [("en", "Taro Yamada", True), ("ja", "山田 太郎", False)])
def test_playground_shows_people_and_chats_in_the_language_of_the_sandbox(
    language: str, taro: str, group: bool
) -> None:
    """The roster has the names of that language, and the name of the group chat is in it."""
    written = playground_configuration(app_id="app", tenant_id=TENANT, locale=language)
    assert [user["name"] for user in written["users"] if user["id"] == TARO.mri] == [taro]
    assert written["groupChat"]["name"].isascii() is group


def test_unknown_sender_of_a_playground_activity_is_not_changed() -> None:
    """A sender who is not one of the sample people gets no name and no object id."""
    assert complete({"from": {"id": "29:nobody"}})["from"] == {"id": "29:nobody"}


def test_playground_activity_gets_tenant_channel_id_and_service_url() -> None:
    """An activity gets tenant, channel id and service URL, which Teams always sends. An existing tenant is kept."""
    whole = complete({"channelData": {"team": {"id": "19:t"}}, "conversation": {"id": "19:c"}})
    assert whole["channelData"] == {"tenant": {"id": TENANT}, "team": {"id": "19:t"}}
    assert whole["conversation"] == {"tenantId": TENANT, "id": "19:c"}
    assert (whole["serviceUrl"], whole["channelId"]) == (SERVICE_URL, "msteams")
    assert complete({"channelData": {"tenant": {"id": "other"}}})["channelData"] == {"tenant": {"id": "other"}}


@pytest.mark.parametrize("spelling", [ALEX.object_id, ALEX.upn, "Alex.Wilber%40EXAMPLE.com", ALEX.mri])
def test_call_for_a_member_reaches_the_playground_with_the_teams_id(spelling: str) -> None:
    """A call with an object id, a UPN in any case, or a `29:` id reaches the Playground with the `29:` id."""
    call = ConnectorCall(method="GET", path=f"v3/conversations/19%3Ac/members/{spelling}")
    taken = to_playground(call, tenant_id=TENANT)
    assert isinstance(taken, ConnectorCall)
    assert taken.path == "v3/conversations/19%3Ac/members/29%3A1-alex-wilber"


@pytest.mark.parametrize("path", ["v3/conversations/19%3Ac/activities/1", "v3/conversations"])
def test_viewers_of_a_card_reach_the_playground_outside_of_its_refresh(path: str) -> None:
    """The Playground would say below the card that it has no views. Everything else arrives unchanged."""
    card = {"type": "AdaptiveCard", "refresh": {"action": {"verb": "refresh"}, "userIds": [HANAKO.mri]}, "body": []}
    others = [{"content": {"type": "AdaptiveCard"}}, {"contentUrl": "x"}, "no attachment"]
    activity = {"type": "message", "attachments": [{"content": card}, *others]}
    sent = {"isGroup": True, "activity": activity} if path == "v3/conversations" else activity
    taken = to_playground(ConnectorCall(method="POST", path=path, body=json.dumps(sent).encode()), tenant_id=TENANT)
    assert isinstance(taken, ConnectorCall)
    expected = {**card, "refresh": {"action": {"verb": "refresh"}, "userIds": []}, "viewers": [HANAKO.mri]}
    assert (taken.json.get("activity") or taken.json)["attachments"] == [{"content": expected}, *others]


def test_call_for_an_unknown_member_is_not_changed() -> None:
    """The Playground itself answers such a call with 404, like Teams."""
    call = ConnectorCall(method="GET", path="v3/conversations/19%3Ac/members/nobody")
    assert to_playground(call, tenant_id=TENANT) == call


@pytest.mark.parametrize("spelling", [HANAKO.mri, HANAKO.object_id, HANAKO.object_id.upper()])
def test_direct_conversation_is_created_by_teams_id_or_object_id(spelling: str) -> None:
    """The call for a `29:` id or an object id reaches the Playground with the `29:` id."""
    taken = direct(spelling)
    assert isinstance(taken, ConnectorCall)
    assert taken.json["members"] == [{"id": HANAKO.mri}]


@pytest.mark.parametrize("spelling", [HANAKO.upn, HANAKO.upn.upper(), "29:nobody", ""])
def test_direct_conversation_with_an_unknown_id_is_refused(spelling: str) -> None:
    """The answer to a UPN or an unknown id is 400.

    The Playground would create a conversation that reaches no person.
    """
    refused = direct(spelling)
    assert isinstance(refused, Refusal)
    assert (refused.status, refused.code) == (400, "BadArgument")


@pytest.mark.parametrize("tenant", ["", "99999999-9999-4999-8999-999999999999"])
def test_direct_conversation_in_a_foreign_tenant_is_refused(tenant: str) -> None:
    """The answer to a missing or foreign tenant is 400."""
    refused = direct(HANAKO.mri, tenant)
    assert isinstance(refused, Refusal)
    assert (refused.status, refused.code) == (400, "BadSyntax")


def test_tenant_of_a_new_direct_conversation_may_be_in_the_member_tenant_id() -> None:
    """`tenantId` is accepted as well as `channelData.tenant.id`."""
    assert isinstance(create({"members": [{"id": HANAKO.mri}], "tenantId": TENANT}), ConnectorCall)


@pytest.mark.parametrize("parameters", [[], None, {"tenantId": TENANT}, {"tenantId": TENANT, "members": [1]}])
def test_malformed_parameters_of_a_new_conversation_are_refused(parameters: object) -> None:
    """The answer to invalid conversation parameters is 400."""
    refused = create(parameters)
    assert isinstance(refused, Refusal)
    assert refused.status == 400


def test_call_that_creates_a_channel_thread_is_passed_on() -> None:
    """The call is not refused, because the Playground can create channel threads."""
    taken = create({"isGroup": True, "channelData": {"channel": {"id": "19:c"}}})
    assert isinstance(taken, ConnectorCall)


@pytest.mark.parametrize(("length", "status"), [(51_199, None), (51_201, 413)])
def test_message_over_100_kilobytes_in_utf_16_is_refused(length: int, status: int | None) -> None:
    """In UTF-16, 51,200 Japanese characters have 100 kilobytes, although UTF-8 needs more bytes."""
    call = ConnectorCall(method="POST", path="v3/conversations/c/activities", body=("あ" * length).encode())
    taken = to_playground(call, tenant_id=TENANT)
    assert getattr(taken, "status", None) == status


def test_configuration_of_the_playground_has_every_person_once() -> None:
    """The Playground's configuration has the six people and spells the UPN member as the Playground expects."""
    written = playground_configuration(app_id="app", tenant_id=TENANT)
    users = [written["currentUser"], *written["users"]]
    assert sorted(user["userPrincipleName"] for user in users) == sorted(person.upn for person in PEOPLE)
    assert written["bot"] == {"id": "28:app", "name": "Node Access Bot"}


def test_true_sender_replaces_the_playgrounds_current_user() -> None:
    """A message comes from the person who typed it, with their own language, not from the Playground's current user."""
    whole = completed(
        {"from": {"id": HANAKO.mri, "name": HANAKO.name, "aadObjectId": HANAKO.object_id}},
        tenant_id=TENANT,
        service_url=SERVICE_URL,
        sender=ALEX,
    )
    assert whole["from"] == {"id": ALEX.mri, "name": ALEX.name, "aadObjectId": ALEX.object_id}
    assert whole["locale"] == "en-US"


@pytest.mark.parametrize(("method", "action"), [("POST", "createMessage"), ("PUT", "updateMessage")])
def test_message_of_the_bot_is_converted_for_the_playgrounds_stream(method: str, action: str) -> None:
    """A message gets all members of the Playground's stream. A POST creates a message, a PUT updates it."""
    body = json.dumps({"type": "message", "text": "承認", "from": {"id": "28:bot"}}).encode()
    call = ConnectorCall(method=method, path="v3/conversations/u%40test.user/activities/5", body=body)
    assert shown_message(call, "5", timestamp=7) == {
        "action": action,
        "actionConversationId": "u@test.user",
        "message": {
            "text": "承認",
            "messageId": "5",
            "timestamp": 7,
            "from": {"id": "28:bot"},
            "textFormat": "markdown",
            "attachments": [],
            "attachmentLayout": "list",
            "mentions": [],
        },
    }


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("v3/conversations/c/members", b'{"type": "message"}'),
        ("v3/conversations/c/activities", b'{"type": "typing"}'),
        ("v3/conversations/c/activities", b"junk"),
    ],
)
def test_only_messages_are_converted_for_the_playgrounds_stream(path: str, body: bytes) -> None:
    """A call with another activity, another path or invalid JSON is not shown on any page."""
    assert shown_message(ConnectorCall(method="POST", path=path, body=body), "1", timestamp=0) is None


def targeted(recipient: str) -> ConnectorCall | Refusal:
    """Return a targeted message for a person, as the Playground gets it."""
    activity = {
        "type": "message",
        "recipient": {"id": recipient},
        "attachments": [{"content": {"type": "AdaptiveCard"}}],
    }
    call = ConnectorCall(
        method="POST",
        path="v3/conversations/19%3Ax%40thread.tacv2/activities",
        query="isTargetedActivity=true",
        body=json.dumps(activity).encode(),
    )
    return to_playground(call, tenant_id=TENANT)


def test_targeted_message_reaches_the_playground_with_its_only_reader() -> None:
    """The Playground shows it to everybody, so each page must know whether its person may see it."""
    call = targeted(TARO.mri)
    assert isinstance(call, ConnectorCall)
    assert (call.query, "recipient" in call.json) == ("", False)
    assert only_reader({"message": call.json}) == TARO.mri
    assert only_reader({"message": {"attachments": [{"content": {"type": "AdaptiveCard"}}]}}) == ""


def test_targeted_message_for_an_unknown_person_is_refused() -> None:
    """It must not be shown to everybody instead."""
    assert isinstance(targeted("29:nobody"), Refusal)
