"""The guards of the program, each with a replacement that takes it out and the test that must fail then.

Read inbound.py first. A guard names its target as `module:qualname`. If you rename or remove the target, follow here:
tests/unit/test_guards.py fails otherwise. Must not know how the tests are run.
"""

from tests.reliability.guards import clicks, inbound, permission, reconciling, stores

GUARDS = (*inbound.GUARDS, *permission.GUARDS, *clicks.GUARDS, *reconciling.GUARDS, *stores.GUARDS)
