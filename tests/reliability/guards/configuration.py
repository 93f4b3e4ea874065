"""Guards of the start: settings that cannot work, or that would let the wrong people decide, are refused."""

from tests.reliability.replacing import Guard, always

SETTINGS = "tests/unit/config/test_settings.py::"
FILE = "tests/unit/config/test_file.py::"

GUARDS = (
    Guard(
        "a queue of another Region is refused",
        SETTINGS + "test_queue_of_another_region_is_refused",
        {"bot.config.settings:_same_region": always(None)},
    ),
    Guard(
        "addresses of two clouds are refused",
        SETTINGS + "test_half_set_government_cloud_is_refused",
        {"bot.config.settings:cloud_at": always(None)},
    ),
    Guard(
        "a chat is refused as a channel",
        FILE + "test_invalid_conversation_id_is_reported_with_the_correct_form",
        {"bot.config.types:is_channel": always(True)},
    ),
    Guard(
        "the link and the id of a channel are one channel",
        FILE + "test_link_and_id_of_one_channel_are_duplicates",
        {"bot.config.file:_channel_id": lambda _: lambda channel: channel.get("conversation")},
    ),
)
