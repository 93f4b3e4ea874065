"""Guards of the app package: Teams gets no package that it would refuse, or that lacks a part of the bot."""

from tests.reliability.replacing import Guard, always

COMMAND = "tests/unit/app_package/test_command.py::"

GUARDS = (
    Guard(
        "an app package that would not work is not written",
        COMMAND + "test_package_that_would_not_work_is_not_written",
        {"bot.app_package.command:find_mistakes": always([])},
    ),
)
