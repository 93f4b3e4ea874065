"""The guards of the program, each with its replacement and the test that must fail without it.

Start with `inbound.py`. A guard names its target as `module:qualname`. If you rename or remove the target, change it
here too; otherwise tests/unit/test_guards.py fails. This package must not know how the tests are run.
"""

from tests.reliability.guards import (
    app_package,
    aws,
    checks,
    clicks,
    configuration,
    giving_back,
    inbound,
    permission,
    reconciling,
    sessions,
    stores,
)

GUARDS = (
    *inbound.GUARDS,
    *permission.GUARDS,
    *clicks.GUARDS,
    *giving_back.GUARDS,
    *reconciling.GUARDS,
    *stores.GUARDS,
    *sessions.GUARDS,
    *aws.GUARDS,
    *configuration.GUARDS,
    *checks.GUARDS,
    *app_package.GUARDS,
)
