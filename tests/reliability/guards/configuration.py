"""Guards of the configuration: one that cannot work, or would let the wrong people decide, is refused."""

from typing import Any

from bot.config.errors import ConfigurationProblems
from bot.domain.configuration import Configuration
from bot.domain.identity import IdentityRules
from bot.ports.configuration import Content, SourceUnreadable
from tests.reliability.replacing import Guard, always, around

SETTINGS = "tests/unit/config/test_settings.py::"
STORED = "tests/scenario/test_stored_configuration.py::"
OBJECT = "tests/aws/test_configuration_object.py::"
FILE = "tests/unit/config/test_file.py::"
EMPTY = Configuration(channels=(), identity=IdentityRules())


def _empty_if_invalid(parse: Any, content: bytes, **named: str) -> Configuration:
    try:
        accepted: Configuration = parse(content, **named)
    except ConfigurationProblems:
        return EMPTY
    return accepted


def _empty_if_refused(_: Any, reload: Any, *_problems: object) -> None:
    reload._accept(EMPTY, None)


async def _empty_if_deleted(read: Any, source: object) -> Any:
    try:
        return await read(source)
    except SourceUnreadable:
        return Content(b"")


GUARDS = (
    Guard(
        "an invalid configuration keeps the former one",
        STORED + "test_invalid_version_of_the_configuration_object_has_no_effect_and_is_reported",
        {"bot.config.file:parse_configuration": around(_empty_if_invalid)},
    ),
    Guard(
        "an unreadable configuration keeps the former one",
        STORED + "test_deleted_configuration_object_leaves_the_configuration_unchanged",
        {"bot.config.reload:ConfigurationReload._refuse": around(_empty_if_refused)},
    ),
    Guard(
        "a deleted object is not an empty configuration",
        OBJECT + "test_deleted_configuration_is_unreadable_until_it_is_uploaded_again",
        {"bot.aws.configuration_object:ConfigurationObject.read": around(_empty_if_deleted)},
    ),
    Guard(
        "one failed read of the configuration is no problem",
        "tests/scenario/test_stored_configuration.py"
        "::test_single_failed_read_of_the_configuration_object_is_neither_a_problem_nor_logged",
        {"bot.config.reload:LASTING": lambda _: 1},
    ),
    Guard(
        "a queue of another Region is refused",
        SETTINGS + "test_queue_url_of_another_region_than_the_bots_is_refused",
        {"bot.config.settings:_same_region": always(None)},
    ),
    Guard(
        "addresses of two clouds are refused",
        SETTINGS + "test_addresses_of_two_microsoft_clouds_are_refused",
        {"bot.config.settings:cloud_at": always(None)},
    ),
    Guard(
        "a chat is refused as a channel",
        FILE + "test_invalid_conversation_id_is_reported_with_the_correct_form",
        {"bot.config.types:is_channel": always(True)},
    ),
    Guard(
        "the link and the id of a channel are one channel",
        FILE + "test_link_and_id_of_one_channel_are_refused_as_duplicates",
        {"bot.config.file:_channel_id": lambda _: lambda channel: channel.get("conversation")},
    ),
)
