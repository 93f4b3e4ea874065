"""A fake source of secrets and tokens from AWS. A test sets its value and errors."""

from pydantic import SecretStr

from bot.ports.aws import AwsUnavailable


class FakeSecretSource:
    """Returns `value`. Raises AwsUnavailable with the code in `problem` if there is one."""

    def __init__(self, value: str) -> None:
        self.value, self.problem, self.reads = value, "", 0

    async def read(self) -> SecretStr:
        self.reads += 1
        if self.problem:
            raise AwsUnavailable(self.problem)
        return SecretStr(self.value)
