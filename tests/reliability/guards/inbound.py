"""Guards of the HTTP edge: tokens, signing keys, bodies, tenants, and the server itself."""

import json
from typing import Any

from bot.teams.inbound.tokens import VerifiedToken
from bot.teams.wire.activity import Inbound
from tests.reliability.replacing import Guard, always, around, constant

TOKENS = "tests/security/test_inbound_tokens.py::"
TURNS = "tests/scenario/test_teams_turns.py::"
BODIES = "tests/security/test_inbound_bodies.py::"


def _endorses_teams_without_a_list(endorsements: Any, entry: dict[str, Any]) -> frozenset[str]:
    listed: frozenset[str] = endorsements(entry)
    return listed if isinstance(entry.get("endorsements"), list) else frozenset({"msteams"})


def _any_service_url(check: Any, token: VerifiedToken, *, channel_id: str | None, service_url: str | None) -> None:
    check(token, channel_id=channel_id, service_url=service_url and token.service_url)


def _any_encoding(load: Any, raw: bytes) -> Any:
    return load(raw.decode(json.detect_encoding(raw)).encode())


def _without_junk_as_tenant(parse: Any, raw: bytes) -> Inbound:
    body = json.loads(raw)
    sent = json.loads(raw)
    if not isinstance(sent["from"].get("tenantId"), str):
        sent["from"].pop("tenantId", None)
    return Inbound(raw=body, wire=parse(json.dumps(sent).encode()).wire)


async def _without_a_limit(_: Any, endpoint: Any, inbound: Inbound) -> Any:
    return await endpoint._turned(inbound)


GUARDS = (
    Guard(
        "a person's commands are limited before any work",
        TURNS + "test_commands_above_a_persons_limit_cause_no_work[personal]",
        {"bot.teams.inbound.replies:Replies.admits": always(True)},
    ),
    Guard(
        "automatic refreshes give way to clicks",
        "tests/contract/test_endpoint.py::test_automatic_refreshes_give_way_to_clicks",
        {"bot.teams.inbound.endpoint:Endpoint._run_refresh": around(_without_a_limit)},
    ),
    Guard(
        "keys sign only for channels that they endorse",
        TOKENS + "test_token_is_refused_unless_its_key_endorses_the_channel[endorsements2-401]",
        {"bot.teams.inbound.keys:SigningKey.endorses": always(True)},
    ),
    Guard(
        "a body with too many values is not parsed",
        "tests/security/test_inbound_bodies.py::test_body_with_too_many_values_is_refused[numbers]",
        {"bot.teams.inbound.endpoint:MOST_VALUES": constant(10**9)},
    ),
    Guard(
        "invented key ids do not delay a new key",
        "tests/unit/teams/test_keys.py::test_invented_key_id_does_not_delay_the_lookup_of_a_new_signing_key[7.0]",
        {"bot.teams.inbound.keys:UNKNOWN_FETCHES": constant(((60.0, 1),))},
    ),
    Guard(
        "a missing key id does not use up the fetches",
        "tests/unit/teams/test_keys.py::test_missing_key_id_is_looked_up_once_a_minute",
        {"bot.teams.inbound.keys:MISSING_FOR": constant(0.0)},
    ),
    Guard(
        "keys without endorsements sign for no channel",
        TOKENS + "test_token_is_refused_unless_its_key_endorses_the_channel[None-401]",
        {"bot.teams.inbound.keys:endorsements_of": around(_endorses_teams_without_a_list)},
    ),
    Guard(
        "the channel of every body is compared with the cached token",
        TOKENS + "test_token_that_was_accepted_before_is_refused_for_another_channel_id[webchat]",
        {"bot.teams.inbound.keys:SigningKey.endorses": always(True)},
    ),
    Guard(
        "the serviceUrl of every body is compared with the token",
        TOKENS + "test_token_that_was_accepted_before_is_refused_for_another_service_url",
        {"bot.teams.inbound.tokens:VerifiedToken.check_body": around(_any_service_url)},
    ),
    Guard(
        "the token cache is bounded",
        TOKENS + "test_number_of_cached_tokens_is_limited",
        {"bot.teams.inbound.tokens:LRUCache": around(lambda cache, _size: cache(10**9))},
    ),
    Guard(
        "activities without a tenant are refused",
        TOKENS + "test_activity_must_have_the_tenant_of_the_bot_and_no_other[None-None-403]",
        {
            "bot.teams.wire.activity:Inbound.is_of_tenant": around(
                lambda ours, inbound, tenant: not inbound.tenants or ours(inbound, tenant)
            )
        },
    ),
    Guard(
        "events of a team drop its rosters even if they name no member",
        TURNS
        + "test_person_who_loses_access_to_a_channel_without_a_member_event_is_no_longer_a_member[channelUnshared]",
        {"bot.teams.inbound.handler:_team_event": always(None)},
    ),
    Guard(
        "bodies must be UTF-8",
        BODIES + "test_body_in_another_encoding_than_plain_utf_8_is_refused[utf-16]",
        {"bot.teams.wire.activity:strict_json": around(_any_encoding)},
    ),
    Guard(
        "duplicate JSON members are rejected",
        BODIES + "test_duplicate_name_in_the_body_is_refused[from]",
        {"bot.teams.wire.activity:unique_members": around(lambda _, members: dict(members))},
    ),
    Guard(
        "infinite numbers are rejected",
        BODIES + "test_number_that_cannot_be_written_as_json_again_is_refused[1e999]",
        {"bot.teams.wire.activity:finite_number": around(lambda _, digits: float(digits))},
    ),
    Guard(
        "the tenant of a sender must be a string",
        BODIES + "test_sender_field_that_is_not_a_string_is_refused[junk0-tenantId]",
        {"bot.teams.wire.activity:parse": around(_without_junk_as_tenant)},
    ),
    Guard(
        "request headers must arrive in time",
        BODIES + "test_connection_whose_request_header_does_not_end_is_closed",
        {
            "aiohttp.web:AppRunner": around(
                lambda runner, app, **options: runner(app, **{**options, "keepalive_timeout": 3600.0})
            )
        },
    ),
    Guard(
        "input that is not HTTP is not logged",
        BODIES + "test_request_that_a_proxy_may_read_differently_is_refused",
        {"bot.web.server:_NotHttp.filter": always(True)},
    ),
)
