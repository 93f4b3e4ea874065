"""Tests for bot.config.file: node-access.toml becomes the domain's types, or all its problems are reported."""

from datetime import time, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config.errors import ConfigurationProblems
from bot.config.file import load_configuration, parse_configuration
from bot.domain.configuration import Configuration, PrivateReplies
from bot.domain.identity import IdentityRules, Principal
from bot.domain.request import Verdict
from bot.domain.routing import DEFAULT_TAGS, Account, LevelRule, Match, SessionLogs
from bot.domain.schedule.digest_week import WeeklyTime
from bot.domain.schedule.quiet_hours import QuietHours
from bot.text.escape import wrappable

ID = "111122223333"


def _account(number: str) -> str:
    """Return an entry of [[accounts]]."""
    return (
        f'[[accounts]]\nid = "{number}"\nregions = ["us-east-1"]\nreader_role = "arn:aws:iam::{number}:role/Reader"\n'
    )


HANAKO = "aaaaaaaa-0000-4000-8000-000000000001"
CHANNEL = '[[channels]]\nname = "production"\nconversation = "19:approvers@thread.tacv2"\n'
LEADS = '[[channels]]\nname = "leads"\nconversation = "19:leads@thread.tacv2"\n'
WHOLE = f"""
[[channels]]
name = "production"
conversation = "19:approvers@thread.tacv2"
approvers = ["members", "user:{HANAKO}", "upn:ichiro.tanaka@example.com"]
approver_role = "arn:aws:iam::{{account}}:role/teams/NodeAccessApprover"
mention = ["user:{HANAKO}"]
locale = "ja"
timezone = "Asia/Tokyo"
comment_required = ["reject"]
show_auto_approved = true
show_tags = ["Environment"]
remind_after = ["15m", "2h", "1d"]
quiet_hours = "22:00-07:30"
digest = "fri 17:30"
match = {{ accounts = ["111122223333"], regions = [], policies = [], tags = {{ Environment = ["production"], Owner = [] }} }}

[[channels.levels]]
step = "Level2"
approvers = ["user:{HANAKO}"]
approver_role = "arn:aws:iam::111122223333:role/NodeAccessLead"
one_level_per_person = false
mention = []

[[channels]]
name = "leads"
conversation = "19:leads@thread.tacv2"
fallback = true
one_level_per_person = false

[identity]
trusted_roles = ["Operator"]
people_domains = ["Example.com"]
unplaced_requesters = "allow"
source_identity = false

[people]
"arn:aws:sts::111122223333:assumed-role/Operator/batch" = "hanako.sato@example.com"
"arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Ops_0123456789abcdef/x" = "user:{HANAKO}"
"arn:aws:iam::111122223333:user/taro" = "upn:taro.yamada@example.com"
"9067642ac7-11111111-1111-4111-8111-111111111111" = "hanako.sato@example.com"

[[accounts]]
id = "444455556666"
regions = ["ap-northeast-1", "us-gov-west-1"]
reader_role = "arn:aws:iam::444455556666:role/NodeAccessReader"
"""


def parsed(text: str) -> Configuration:
    """Parse a valid text."""
    return parse_configuration(text.encode())


def test_parts_that_were_copied_from_a_card_mean_what_the_card_shows() -> None:
    """Cards have invisible marks for wrapping in long ids. They are removed, or the copied id would match nothing."""
    assert parsed(wrappable(WHOLE)) == parsed(WHOLE)
    assert wrappable(WHOLE) != WHOLE


def problems_of(text: str | bytes) -> tuple[str, ...]:
    """Return the problems of a text, without the name of the file."""
    with pytest.raises(ConfigurationProblems) as caught:
        parse_configuration(text if isinstance(text, bytes) else text.encode())
    assert all(each.startswith("node-access.toml: ") for each in caught.value.problems)
    return tuple(each.removeprefix("node-access.toml: ") for each in caught.value.problems)


def problem_of(text: str) -> str:
    """Return the only problem of a text."""
    (problem,) = problems_of(text)
    return problem


def test_keys_of_channels_levels_and_accounts_are_read() -> None:
    """The keys set the fields that the rules use."""
    configuration = parsed(WHOLE)
    production, leads = configuration.channels
    assert (production.name, production.conversation) == ("production", "19:approvers@thread.tacv2")
    assert production.approvers == ("members", f"user:{HANAKO}", "upn:ichiro.tanaka@example.com")
    assert production.role_at("Level1", "111122223333") == "arn:aws:iam::111122223333:role/teams/NodeAccessApprover"
    assert production.levels == (
        LevelRule("Level2", (f"user:{HANAKO}",), "arn:aws:iam::111122223333:role/NodeAccessLead", False, ()),
    )
    assert (production.locale, production.timezone, production.mention) == ("ja", "Asia/Tokyo", (f"user:{HANAKO}",))
    assert (production.comment_required, production.show_tags) == (frozenset({Verdict.REJECT}), ("Environment",))
    assert production.remind_after == (timedelta(minutes=15), timedelta(hours=2), timedelta(days=1))
    assert (production.quiet_hours, leads.quiet_hours) == (QuietHours(time(22), time(7, 30)), None)
    assert (production.digest, leads.digest) == (WeeklyTime(4, time(17, 30)), None)
    assert [production.one_level_at(step) for step in ("Level1", "Level2")] == [True, False]
    assert not leads.one_level_at("Level1")
    assert (production.show_auto_approved, leads.show_auto_approved) == (True, False)
    assert (leads.fallback, leads.match, leads.approvers, leads.show_tags) == (True, None, (), DEFAULT_TAGS)
    assert configuration.accounts == (
        Account("444455556666", ("ap-northeast-1", "us-gov-west-1"), "arn:aws:iam::444455556666:role/NodeAccessReader"),
    )


def test_accounts_with_and_without_roles_are_read() -> None:
    """The bot's own account needs no reader role.

    An account may have roles that cancel requests, end sessions and give access back, a name, and a place for the logs
    of sessions.
    """
    reader = "arn:aws:iam::444455556666:role/NodeAccessReader"
    own = f'[[accounts]]\nid = "{ID}"\nregions = ["ap-northeast-1", "us-east-2"]\n'
    roles = {
        key: f"arn:aws:iam::444455556666:role/{key}" for key in ("cancel_role", "end_sessions_role", "give_back_role")
    }
    other = f'[[accounts]]\nid = "444455556666"\nregions = ["us-east-2"]\nreader_role = "{reader}"\n'
    other += "".join(f'{key} = "{role}"\n' for key, role in roles.items())
    other += 'name = "prod-core"\nsession_log_bucket = "session-logs/prod"\n'
    assert parsed(CHANNEL + own + other).accounts == (
        Account(ID, ("ap-northeast-1", "us-east-2")),
        Account(
            "444455556666",
            ("us-east-2",),
            reader,
            name="prod-core",
            session_logs=SessionLogs(bucket="session-logs/prod"),
            **roles,
        ),
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [("", PrivateReplies.DIRECT), ('[teams]\nprivate_replies = "targeted"\n', PrivateReplies.TARGETED)],
)
def test_private_replies_are_direct_messages_unless_the_file_says_targeted(
    lines: str, expected: PrivateReplies
) -> None:
    """The key is in [teams]."""
    assert parse_configuration((CHANNEL + lines).encode()).private_replies is expected


def test_other_ways_for_private_replies_are_refused() -> None:
    """The message names the key and the allowed values."""
    problem = problem_of(CHANNEL + '[teams]\nprivate_replies = "public"\n')
    assert "teams: private_replies" in problem
    assert "targeted" in problem


def test_identity_and_people_tables_become_rules() -> None:
    """[identity] and [people] become the rules that identify requesters."""
    rules = parsed(WHOLE).identity
    assert [rules.person_of(Principal.parse(text)) for text in rules.people or ()] == [
        "hanako.sato@example.com",
        f"user:{HANAKO}",
        "upn:taro.yamada@example.com",
        "hanako.sato@example.com",
    ]
    assert (rules.allow_unidentified, rules.people_domains) == (True, frozenset({"example.com"}))


def test_empty_list_in_match_matches_everything() -> None:
    """Empty lists, including empty lists of tag values, exclude no request."""
    production = parsed(WHOLE).channels[0]
    expected = Match(accounts=frozenset({"111122223333"}), tags=(("Environment", frozenset({"production"})),))
    assert production.match == expected


def test_only_channel_without_match_is_the_fallback() -> None:
    """In the smallest valid file, the only channel is the fallback, and unidentified requesters are not allowed."""
    (channel,) = parsed(CHANNEL).channels
    assert channel.fallback
    assert not parsed(CHANNEL).identity.allow_unidentified


def test_channel_without_match_and_fallback_is_allowed() -> None:
    """Beside a fallback channel, a channel with neither `match` nor `fallback` is valid, and is not the fallback."""
    assert [each.fallback for each in parsed(CHANNEL + "fallback = true\n" + LEADS).channels] == [True, False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "channels: missing"),
        (CHANNEL + LEADS, "none has fallback = true"),
        (CHANNEL + "match = {}\n", "none has fallback = true"),
        (CHANNEL + "fallback = true\n" + LEADS + "fallback = true\n", "2 have fallback = true"),
    ],
)
def test_configuration_without_exactly_one_fallback_channel_is_refused(text: str, expected: str) -> None:
    """Without exactly one fallback, a request could have no channel or two."""
    assert expected in problem_of(text)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('approvers = ["member"]', "approvers 1: write members, user:"),
        ('approvers = ["members", "user:hanako"]', "approvers 2: write members, user:"),
        ('approvers = "members"', "approvers: write a list"),
        ('approvers = ["hanako.sato@example.com"]', "approvers 1: write upn: in front of a user principal name"),
        (f'approvers = ["{HANAKO}"]', "approvers 1: write user: in front of a person's object id"),
        ('approvers = ["group:on-call"]', "approvers 1: write the object id of the group, not its name"),
        (f'approvers = ["group:{HANAKO} "]', "approvers 1: write the object id of the group, not its name"),
        (
            f'approvers = ["members", "group:{HANAKO}"]',
            "approvers: members beside a group: everyone in the channel is already allowed; remove one of them",
        ),
        (
            f'[[channels.levels]]\nstep = "a"\napprovers = ["group:{HANAKO}", "members"]',
            "levels 1: approvers: members beside a group",
        ),
        (
            '[[channels.levels]]\nstep = "a"\napprovers = ["h@example.com"]',
            "levels 1: approvers 1: write upn: in front",
        ),
        (f'mention = ["{HANAKO}"]', "mention 1: write user: in front of an object id"),
        (
            'approver_role = "arn:aws:iam::{account}:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Ops_0123456789abcdef"',
            "approver_role: a role of IAM Identity Center cannot be assumed by the bot; write the ARN of another role",
        ),
        ('match = { regions = ["ap-northeast-9"] }', "match: regions 1: no AWS Region is known by this name"),
        ('[[accounts]]\nid = "444455556666"\nregions = ["us-east-9"]', "accounts 1: regions 1: no AWS Region is known"),
        ('mention = ["members"]', "mention 1: write user:"),
        ('mention = ["upn:hanako.sato@example.com"]', "mention 1: write user:"),
        ('locale = "fr"', "locale: write 'en' or 'ja'"),
        ('timezone = "Asia/Tokio"', "write one like Asia/Tokyo"),
        ('timezone = "Asia"', "timezone: no such time zone"),
        ('timezone = "../etc/passwd"', "timezone: no such time zone"),
        ('timezone = ""', "timezone: no such time zone"),
        ('comment_required = ["deny"]', "comment_required 1: write 'approve' or 'reject'"),
        ("show_tags = [1]", "show_tags 1: write text in quotes"),
        ('approver_role = "NodeAccessApprover"', "approver_role: write the ARN of a role"),
        ('approver_role = "arn:aws:iam::{acount}:role/A"', "approver_role: write the ARN of a role"),
        ('approver_role = "arn:aws:iam::{account}:role/{account}"', "approver_role: write the ARN of a role"),
        ('fallback = "yes"', "fallback: write true or false"),
        ('match = { accounts = ["1"] }', "match: accounts 1: write the 12 digits"),
        ("match = { accounts = [111122223333] }", "match: accounts 1: write text in quotes"),
        ('match = { regions = ["tokyo"] }', "match: regions 1: write a Region"),
        ('match = { tags = { Environment = "production" } }', "match: tags: Environment: write a list"),
        ('match = { tag = { Environment = ["production"] } }', "match: tag: unknown; did you mean tags?"),
        ('remind_after = "15m"', "remind_after: write a list"),
        ("remind_after = [15]", 'remind_after 1: write a number of minutes, hours or days, like "15m"'),
        ('remind_after = ["15m", "1w"]', "remind_after 2: write a number of minutes, hours or days"),
        ('remind_after = ["-5m"]', "remind_after 1: write a number of minutes"),
        ('remind_after = ["0m"]', "remind_after 1: write at least 1m and at most 30d"),
        ('remind_after = ["31d"]', "remind_after 1: write at least 1m and at most 30d"),
        ('remind_after = ["999999d"]', "remind_after 1: write at least 1m and at most 30d"),
        ('remind_after = ["1h", "15m"]', "remind_after: write each span once and the shortest first"),
        ('remind_after = ["1h", "60m"]', "remind_after: write each span once and the shortest first"),
        (f"remind_after = {[f'{each}m' for each in range(1, 12)]}", "remind_after: write at most 10 spans"),
        ('quiet_hours = ["22:00", "07:00"]', 'quiet_hours: write the beginning and the end, like "22:00-07:00"'),
        ('quiet_hours = "22-7"', "quiet_hours: write the beginning and the end"),
        ('quiet_hours = "22:00-24:00"', "quiet_hours: write the beginning and the end"),
        ('digest = "monday 09:00"', 'digest: write a weekday and a time, like "mon 09:00"; weekdays are mon, tue, wed'),
        ('digest = "mon 24:00"', "digest: write a weekday and a time"),
        ('digest = ["mon 09:00"]', "digest: write a weekday and a time"),
        ('quiet_hours = "07:00-07:00"', "quiet_hours: the beginning and the end are equal"),
        ('[[channels.levels]]\nstep = "a"\nmention = ["members"]', "mention 1: write user:<Microsoft Entra object id>"),
        ('aprovers = ["members"]', "aprovers: unknown; did you mean approvers?"),
        ('[[channels.levels]]\nsteps = "Level2"', "steps: unknown; did you mean step?"),
        ('[[channels.levels]]\nstep = "a"\n[[channels.levels]]\nstep = "a"', "step: a is used 2 times"),
        ('[[accounts]]\nid = "1"\nregions = ["us-east-1"]', "accounts 1: id: write the 12 digits"),
        ('[[accounts]]\nid = "444455556666"\nregions = []', "accounts 1: regions: write at least one"),
        ('[[accounts]]\nid = "444455556666"', "accounts 1: regions: missing; write it"),
        ('[[accounts]]\nid = "444455556666"\nregions = ["us-east-1", "us-east-1"]', "us-east-1 is used 2 times"),
        (2 * '[[accounts]]\nid = "444455556666"\nregions = ["us-east-1"]\n', "accounts: id: 444455556666 is used 2"),
        (
            "".join(f'[[accounts]]\nid = "{each}"\nregions = ["us-east-1"]\n' for each in (ID, 2 * "444455")),
            "accounts: only the bot's own account can omit reader_role",
        ),
        (
            f'[[accounts]]\nid = "444455556666"\nregions = ["us-east-1"]\nreader_role = "arn:aws:iam::{ID}:role/Reader"',
            f"accounts 1: reader_role: a role of account {ID}, but the entry is for 444455556666; write a role there",
        ),
        (
            '[[accounts]]\nid = "444455556666"\nregions = ["us-east-1"]\nreader_role = "arn:aws:iam::{account}:role/A"',
            "reader_role: write the account's number",
        ),
        *(
            (
                f'[[accounts]]\nid = "444455556666"\nregions = ["us-east-1"]\n{key} = "arn:aws:iam::{ID}:role/A"',
                f"accounts 1: {key}: a role of account {ID}, but the entry is for 444455556666; write a role there",
            )
            for key in ("cancel_role", "end_sessions_role", "give_back_role")
        ),
        (
            f'{_account(ID)}name = "core"\n{_account("444455556666")}name = "core"',
            "accounts: name: core is used 2 times; each must be unique",
        ),
        (_account(ID) + 'name = "  "', "): name: write a name with visible characters"),
        (_account(ID) + 'session_log_bucket = "s3://logs"', "session_log_bucket: leave out s3:// in front"),
        (_account(ID) + 'session_log_group = "logs?"', "session_log_group: write the name of a log group"),
        *(
            (
                f'[[accounts]]\nid = "444455556666"\nregions = ["us-east-1"]\n{key} = "arn:aws:iam::{{account}}:role/A"',
                f"{key}: write the account's number",
            )
            for key in ("cancel_role", "end_sessions_role", "give_back_role")
        ),
        (
            '[identity]\ntrusted_roles = ["arn:aws:iam::111122223333:role/Operator"]',
            "trusted_roles 1: write the role's name",
        ),
        ('[identity]\npeople_domains = ["@example.com"]', "people_domains 1: write what follows the @"),
        ('[identity]\nunplaced_requesters = "permit"', "unplaced_requesters: write 'refuse' or 'allow'"),
        ("[identitty]", "identitty: unknown; did you mean identity?"),
        ('[people]\n"arn:aws:iam::111122223333:user/taro" = "taro"', "write user:<Microsoft Entra object id>, or"),
        ('[people]\ntaro = "taro.yamada@example.com"', "people: taro: write the ARN of a session"),
        ('[people]\n"arn:aws:sts::111122223333:federated-user/t" = "t@example.com"', "write the ARN of a session"),
    ],
)
def test_invalid_configuration_value_is_reported_with_the_correct_form(line: str, expected: str) -> None:
    """One of the reported problems has the expected text: the place in the file, what to write there, or both."""
    assert any(expected in each for each in problems_of(CHANNEL + line))


ESCALATING = CHANNEL + 'fallback = true\nescalate_after = "2h"\nescalate_to = "leads"\n'


def test_channel_escalates_to_another_one() -> None:
    """The second channel needs neither `match` nor `fallback`."""
    production, leads = parsed(ESCALATING + LEADS + 'approvers = ["members"]\n').channels
    assert (production.escalate_after, production.escalate_to) == (timedelta(hours=2), "leads")
    assert (leads.escalate_after, leads.escalate_to, leads.fallback, leads.match) == (None, None, False, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CHANNEL + 'escalate_after = "2h"', "escalate_after: also write escalate_to"),
        (CHANNEL + 'escalate_to = "leads"', "escalate_to: also write escalate_after"),
        (CHANNEL + 'escalate_after = 2\nescalate_to = "leads"', "escalate_after: write a number of minutes"),
        (CHANNEL + 'escalate_after = "2h"\nescalate_to = "production"', "escalate_to: the channel itself"),
        (ESCALATING + LEADS.replace("leads", "others"), "escalate_to: no channel has the name leads"),
        (ESCALATING + LEADS, "escalate_to: leads lists no approvers, so nobody could decide there"),
        (
            ESCALATING + LEADS + "[[channels.levels]]\nstep = 'Level1'\n",
            "escalate_to: leads lists no approvers, so nobody could decide there",
        ),
        (
            ESCALATING + LEADS + 'approvers = ["members"]\nescalate_after = "1h"\nescalate_to = "production"\n',
            "escalate_to: leads escalates itself, and an escalation is never passed on",
        ),
    ],
    ids=["no target", "no time", "no span", "itself", "unknown", "nobody", "nobody at a level", "cycle"],
)
def test_escalation_that_could_not_work_is_refused(text: str, expected: str) -> None:
    """One of the reported problems says what to write instead."""
    assert any(expected in each for each in problems_of(text))


def test_group_may_be_listed_beside_people_for_a_channel_and_for_a_level() -> None:
    """The people beside it are added. Only `members` would make the group meaningless."""
    group = f"group:{HANAKO.upper()}"
    level = f'[[channels.levels]]\nstep = "Level2"\napprovers = ["{group}"]\n'
    (channel,) = parsed(CHANNEL + f'approvers = ["{group}", "user:{HANAKO}", "upn:h@example.com"]\n' + level).channels
    assert channel.approvers == (group, f"user:{HANAKO}", "upn:h@example.com")
    assert channel.approvers_at("Level2") == (group,)


def test_second_channel_may_list_approvers_at_a_level_only() -> None:
    """Somebody can decide there."""
    level = '[[channels.levels]]\nstep = "Level1"\napprovers = ["members"]\n'
    assert len(parsed(ESCALATING + LEADS + level).channels) == 2


def test_channels_with_the_same_name_or_conversation_are_refused() -> None:
    """The bot cannot distinguish two channels with the same name or the same conversation."""
    problems = problems_of(CHANNEL + "fallback = true\n" + CHANNEL)
    assert [each.split(":")[1].strip() for each in problems] == ["name", "conversation"]


LINK = "https://teams.microsoft.com/l/channel/{id}/Approvers?groupId=0f&tenantId=1f"


@pytest.mark.parametrize(
    "conversation",
    [
        LINK.format(id="19%3aapprovers%40thread.tacv2"),
        LINK.format(id="19%3Aapprovers%40thread.tacv2").replace("microsoft.com", "cloud.microsoft"),
        LINK.format(id="19:approvers@thread.tacv2").replace("teams.microsoft.com", "gov.teams.microsoft.us"),
        LINK.format(id="19%253Aapprovers%2540thread.tacv2"),
        LINK.format(id="19%3Aapprovers%40thread.tacv2").replace("https://teams.microsoft.com", "msteams:"),
        "https://teams.microsoft.com/l/message/19%3Aapprovers%40thread.tacv2/1700000000000?parentMessageId=1",
        "19%3Aapprovers%40thread.tacv2",
        " 19:approvers@thread.tacv2 ",
    ],
)
def test_link_or_encoded_id_of_a_channel_is_accepted_as_its_id(conversation: str) -> None:
    """Teams offers the link, not the id. The link contains the id, percent-encoded once or, after a mail, twice.

    Spaces around the id are removed.
    """
    (channel,) = parsed(CHANNEL.replace("19:approvers@thread.tacv2", conversation)).channels
    assert channel.conversation == "19:approvers@thread.tacv2"


def test_channel_id_with_the_older_ending_is_accepted() -> None:
    """Channels of old teams still have an id with the older ending."""
    assert parsed(CHANNEL.replace("tacv2", "skype")).channels[0].conversation == "19:approvers@thread.skype"


def test_link_and_id_of_one_channel_are_refused_as_duplicates() -> None:
    """The same channel, once as a link and once as an id, is refused like two equal ids."""
    link = LINK.format(id="19%3Aapprovers%40thread.tacv2")
    other = LEADS.replace("19:leads@thread.tacv2", link)
    assert problem_of(CHANNEL + "fallback = true\n" + other) == (
        "channels: conversation: 19:approvers@thread.tacv2 is used 2 times; each must be unique"
    )


@pytest.mark.parametrize(
    ("conversation", "expected"),
    [
        ("19:approvers@thread.tacv2;messageid=1", "leave out the part from ;"),
        ("approvers", "the link to the channel has it"),
        ("19:x_y@unq.gbl.spaces", "a chat, not a channel"),
        ("19:abc@thread.v2", "a chat, not a channel"),
        ("19:meeting_abc@thread.v2", "a chat, not a channel"),
        ("a:1pqrs", "a chat, not a channel"),
        ("https://teams.microsoft.com/l/chat/19%3Ax_y%40unq.gbl.spaces/0", "a chat, not a channel"),
        ("https://teams.microsoft.com/l/team/19%3Aapprovers%40thread.tacv2/conversations?groupId=0", "link to a team"),
        ("https://example.com/l/channel/", "the link to the channel has it"),
        ("19:approvers@example.com", "the link to the channel has it"),
    ],
)
def test_invalid_conversation_id_is_reported_with_the_correct_form(conversation: str, expected: str) -> None:
    """The id of a thread or a chat, a link to something else, and the name of a channel are refused with advice."""
    assert expected in problem_of(CHANNEL.replace("19:approvers@thread.tacv2", conversation))


def test_people_entry_for_a_session_of_an_untrusted_role_is_refused() -> None:
    """A caller of that role chooses the session name, so with such an entry any caller could claim to be this person."""
    entry = '[people]\n"arn:aws:sts::111122223333:assumed-role/Operator/batch" = "hanako.sato@example.com"\n'
    assert "trusted_roles" in problem_of(CHANNEL + entry)
    parsed(CHANNEL + '[identity]\ntrusted_roles = ["Operator"]\n' + entry)


def test_missing_fallback_is_reported_together_with_an_invalid_value() -> None:
    """A wrong value in a table does not hide a missing fallback."""
    assert len(problems_of(CHANNEL + 'locale = "fr"\n' + LEADS)) == 2


@pytest.mark.parametrize(
    "text",
    [
        b"[[channels]",
        b"\xff\xfe",
        b"a = " + b"[" * 100_000,
        b"a = " + b"9" * 5000,
        b"channels = 1",
        b"people = 1",
        b"identity = []",
    ],
)
def test_text_that_is_not_a_configuration_file_is_refused(text: bytes) -> None:
    """Text that is not TOML, or has the wrong structure, is reported like any other problem."""
    assert problems_of(text)


def test_byte_order_mark_of_a_configuration_file_is_accepted() -> None:
    """Editors on Windows write one at the beginning of UTF-8."""
    assert parse_configuration(b"\xef\xbb\xbf" + CHANNEL.encode()) == parsed(CHANNEL)


def test_configuration_file_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    """A missing file, a folder and an impossible path are problems, not crashes."""
    for path in (tmp_path / "absent.toml", tmp_path, Path("a\0b")):
        with pytest.raises(ConfigurationProblems):
            load_configuration(path)


def test_problems_of_a_configuration_show_control_characters_as_escape_sequences() -> None:
    """The problems show control characters in names from the file as escape sequences."""
    problems = problems_of('[[channels]]\nname = "a\\u001b[2J"\n"b\\u001b[2J" = 1\n')
    assert "\x1b" not in "".join(problems)
    assert "channels 1 ('a\\x1b[2J'): 'b\\x1b[2J': unknown" in problems


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["members", "19:a@b"])
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_KEYS = [
    "name",
    "conversation",
    "approvers",
    "match",
    "levels",
    "fallback",
    "timezone",
    "locale",
    "approver_role",
    "mention",
    "x",
]
_CHANNEL = st.dictionaries(st.sampled_from(_KEYS), _JSON, max_size=6)
_FILE = st.fixed_dictionaries(
    {},
    optional={
        "channels": st.lists(_CHANNEL, max_size=3) | _JSON,
        "identity": st.dictionaries(st.sampled_from(["trusted_roles", "people_domains", "y"]), _JSON) | _JSON,
        "people": st.dictionaries(st.text(max_size=10), _JSON, max_size=2) | _JSON,
        "accounts": _JSON,
    },
)


@given(_FILE)
def test_any_tables_are_a_configuration_or_raise_the_declared_error(tables: dict[str, Any]) -> None:
    """Any tables give a configuration, or ConfigurationProblems with one line for each problem."""
    _read_or_refused(_toml(tables).encode())


@given(st.binary(max_size=60) | st.text("[]{}=\"'#\n\\ax1.", max_size=60).map(str.encode))
def test_any_bytes_are_a_configuration_or_raise_the_declared_error(content: bytes) -> None:
    """Any bytes give a configuration, or ConfigurationProblems with one line for each problem."""
    _read_or_refused(content)


def _read_or_refused(content: bytes) -> None:
    assert all(len(each.splitlines()) == 1 for each in _refusal(content))


def _refusal(content: bytes) -> tuple[str, ...]:
    try:
        parse_configuration(content)
    except ConfigurationProblems as caught:
        return caught.problems or ("",)  # an error without a line would count as a line
    return ()


def _toml(value: Any, depth: int = 0) -> str:
    """Write a value as TOML. None becomes text, because TOML has no null."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case dict():
            items = [f"{_quoted(key)} = {_toml(inner, depth + 1)}" for key, inner in value.items()]
            return "\n".join(items) if depth == 0 else "{" + ", ".join(items) + "}"
        case list():
            return "[" + ", ".join(_toml(inner, depth + 1) for inner in value) + "]"
        case _:
            return _quoted(str(value))


def _quoted(text: str) -> str:
    return '"' + "".join(f"\\U{ord(letter):08x}" for letter in text) + '"'


def test_session_options_of_the_configuration_are_read_and_checked() -> None:
    """The options are `source_identity`, `session_tags` and `external_id`, and none is set by default.

    An invalid `external_id` is refused.
    """
    assert parsed(CHANNEL).identity == IdentityRules(people={})
    given = parsed(
        CHANNEL + '[identity]\nsource_identity = true\nsession_tags = true\nexternal_id = "a:b/c-1"\n'
    ).identity
    assert (given.source_identity, given.session_tags, given.external_id) == (True, True, "a:b/c-1")
    for wrong in ('"a"', '"white space"', '"' + "x" * 1225 + '"', "true", '"é!"'):
        assert "external_id" in problem_of(CHANNEL + f"[identity]\nexternal_id = {wrong}\n")
