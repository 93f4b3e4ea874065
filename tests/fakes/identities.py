"""Records of IAM Identity Center's users, as a fake that changes and fails when told."""

from bot.ports.aws import AwsUnavailable


class FakeIdentities:
    """Tells `records`; raises with the code in `problem` while there is one."""

    def __init__(self) -> None:
        self.records: dict[str, tuple[str, ...]] = {}
        self.problem = ""
        self.asked: list[str] = []

    async def names(self, user_id: str) -> tuple[str, ...]:
        self.asked.append(user_id)
        if self.problem:
            raise AwsUnavailable(self.problem)
        return self.records.get(user_id, ())
