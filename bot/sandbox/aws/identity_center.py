"""A simulated IAM Identity Center: one instance and its users.

https://docs.aws.amazon.com/singlesignon/latest/IdentityStoreAPIReference/API_DescribeUser.html
"""

from collections.abc import Mapping
from typing import Any, Final

from bot.sandbox.aws.callers import Caller
from bot.sandbox.aws.errors import AwsError
from bot.sandbox.aws.jit.operations import Operation, Params

STORE: Final = "d-1234567890"
INSTANCE_ARN: Final = "arn:aws:sso:::instance/ssoins-1234567890abcdef"


class IdentityCenter:
    """The instance. `users` has the id of each user by user name, which is also the mail address."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self._names = {user_id: name for name, user_id in users.items()}

    def table(self) -> dict[tuple[str, str], Operation]:
        """Return the operations of this class, by signing name of the service and operation."""
        return {
            ("sso", "ListInstances"): self.list_instances,
            ("identitystore", "DescribeUser"): self.describe_user,
        }

    def list_instances(self, caller: Caller, _params: Params) -> dict[str, Any]:
        """Return the only instance, with the caller's account as its owner."""
        return {"Instances": [instance(STORE, owner=caller.account)]}

    def describe_user(self, _caller: Caller, params: Params) -> dict[str, Any]:
        """Return a user's record. Raises AwsError ResourceNotFoundException."""
        name = self._names.get(params["UserId"])
        if params["IdentityStoreId"] != STORE or name is None:
            raise AwsError("ResourceNotFoundException", "USER not found.")
        return {
            "IdentityStoreId": STORE,
            "UserId": params["UserId"],
            "UserArn": f"arn:aws:identitystore:::user/{params['UserId']}",
            "Revision": "1",
            "UserName": name,
            "DisplayName": "Sample User",
            "Emails": [{"Value": name, "Type": "work", "Primary": True}],
        }


def instance(store: str, *, owner: str, status: str = "ACTIVE") -> dict[str, Any]:
    """Return an instance as ListInstances shows it."""
    return {"InstanceArn": INSTANCE_ARN, "IdentityStoreId": store, "OwnerAccountId": owner, "Status": status}
