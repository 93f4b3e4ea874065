"""Guards of the calls to AWS: their credentials, and answers that are only a part."""

from collections.abc import AsyncIterator
from typing import Any

from tests.reliability.replacing import Guard, always, around

WIRE = "tests/contract/test_aws_wire.py::"
PAGING = "tests/contract/test_paging.py::"


async def _first_page(_: Any, read: Any, member: str, params: Any, **_limit: int) -> AsyncIterator[Any]:
    for row in (await read(**params)).get(member, []):
        yield row


def _many_pages(rows: Any, *given: Any, **_limit: int) -> Any:
    return rows(*given, pages=50)


GUARDS = (
    Guard(
        "own credentials are read again after AWS refused them",
        WIRE + "test_call_is_repeated_only_after_a_refusal_of_own_credentials[ExpiredTokenException-signed_by0]",
        {"bot.boto.own_credentials:OwnCredentials.renew": always(False)},
    ),
    Guard(
        "a call is repeated only with other own credentials",
        WIRE + "test_call_is_not_repeated_with_the_same_own_credentials",
        {"bot.boto.own_credentials:OwnCredentials.renew": always(True)},
    ),
    Guard(
        "a call is repeated only if AWS refused the credentials",
        WIRE + "test_call_is_repeated_only_after_a_refusal_of_own_credentials[ThrottlingException-signed_by3]",
        {"bot.boto.failures:concerns_credentials": always(True)},
    ),
    Guard(
        "all pages of a list are read",
        PAGING + "test_rows_after_empty_pages_are_read[DescribeInstanceInformation]",
        {"bot.aws.calls.clients:_rows": around(_first_page)},
    ),
    Guard(
        "pages without an end are limited",
        PAGING + "test_endless_pages_are_limited[DescribeInstanceInformation]",
        {"bot.aws.calls.clients:_rows": around(_many_pages)},
    ),
)
