"""A fake of the Identities port, IAM Identity Center's user records. A test sets its records and errors."""

import asyncio

from bot.ports.aws import AwsUnavailable


class FakeIdentities:
    """Returns `records`. Raises AwsUnavailable with the code in `problem` if there is one.

    `most_at_once` is the largest number of lookups that ran at the same time.
    """

    def __init__(self) -> None:
        self.records: dict[str, tuple[str, ...]] = {}
        self.problem = ""
        self.asked: list[str] = []
        self.most_at_once = self._running = 0

    async def names(self, user_id: str) -> tuple[str, ...]:
        self.asked.append(user_id)
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        await asyncio.sleep(0)  # the answer takes a turn of the loop
        self._running -= 1
        if self.problem:
            raise AwsUnavailable(self.problem)
        return self.records.get(user_id, ())
