"""The error that the simulated AWS raises, and the check that an operation can answer with its code."""

from typing import Final

from botocore.model import OperationModel

# Errors that any operation can return and no model lists. NotInTheSandbox is the sandbox's own; the other codes are in
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
    """An error answer: AWS's code, a text and the HTTP status, by default 400, or 500 for InternalServerError."""

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message
        self.status = status or (500 if code == "InternalServerError" else 400)


def is_possible(code: str, operation: OperationModel) -> bool:
    """Return whether the operation's model allows this error code, or any operation can return it."""
    return code in COMMON or code in {shape.name for shape in operation.error_shapes}
