"""The errors of AWS as the sandbox raises them, and what the models say of their HTTP status."""

from typing import Final

from botocore.model import OperationModel

# Errors that any operation can give and no operation's model lists:
# https://docs.aws.amazon.com/systems-manager/latest/APIReference/CommonErrors.html
COMMON: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredTokenException",
        "MissingAuthenticationToken",
        "SerializationException",
        "NotInTheSandbox",
        "ThrottlingException",
        "UnrecognizedClientException",
        "ValidationException",
    }
)


class AwsError(Exception):
    """An error that goes to the caller: AWS's code, a text, and the HTTP status if it is not the code's own."""

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message
        self.status = status or (500 if code == "InternalServerError" else 400)


def is_possible(code: str, operation: OperationModel) -> bool:
    """Say whether AWS could answer an operation with this error at all."""
    return code in COMMON or code in {shape.name for shape in operation.error_shapes}
