"""Guards of the app package: Teams gets no package that it would refuse, or that lacks a part of the bot."""

from tests.reliability.replacing import Guard, always

COMMAND = "tests/unit/app_package/test_command.py::"

GUARDS = (
    Guard(
        "an app package that would not work is not written",
        COMMAND + "test_manifest_command_does_not_write_a_package_that_breaks_the_rules",
        {"bot.app_package.command:find_mistakes": always([])},
    ),
)
