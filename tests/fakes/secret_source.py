"""What AWS keeps or makes for the bot, as a fake that changes and fails when told."""

from pydantic import SecretStr

from bot.ports.aws import AwsUnavailable


class FakeSecretSource:
    """Tells `value`; raises with the code in `problem` while there is one."""

    def __init__(self, value: str) -> None:
        self.value, self.problem, self.reads = value, "", 0

    async def read(self) -> SecretStr:
        self.reads += 1
        if self.problem:
            raise AwsUnavailable(self.problem)
        return SecretStr(self.value)
