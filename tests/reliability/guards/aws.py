"""Guards of the calls to AWS: their credentials, and answers that are only a part."""

from tests.reliability.replacing import Guard, always

WIRE = "tests/contract/test_aws_wire.py::"

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
)
