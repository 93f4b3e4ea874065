"""A fake of the Identities port, IAM Identity Center's user records. A test sets its records and errors."""

from bot.ports.aws import AwsUnavailable


class FakeIdentities:
    """Returns `records`. Raises AwsUnavailable with the code in `problem` if there is one."""

    def __init__(self) -> None:
        self.records: dict[str, tuple[str, ...]] = {}
        self.problem = ""
        self.asked: list[str] = []

    async def names(self, user_id: str) -> tuple[str, ...]:
        self.asked.append(user_id)
        if self.problem:
            raise AwsUnavailable(self.problem)
        return self.records.get(user_id, ())
