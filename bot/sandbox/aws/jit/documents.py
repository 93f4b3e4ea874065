"""SSM's document operations for approval policies, because moto rejects such documents. moto answers for all others."""

import hashlib
from typing import Any

from bot.sandbox.aws.callers import Caller
from bot.sandbox.aws.errors import AwsError
from bot.sandbox.aws.jit.filters import page
from bot.sandbox.aws.jit.operations import Operation, Params
from bot.sandbox.aws.jit.policies import AUTO, MANUAL, InvalidPolicy, Policy, read_policy, written
from bot.sandbox.aws.jit.state import JitState

KINDS = frozenset({MANUAL, AUTO})
ANY_VERSION = frozenset({"$LATEST", "$DEFAULT", "1"})  # the sandbox keeps one version of each policy


class NotOurs(LookupError):
    """The call is about something that the simulator does not have. moto answers it."""


class JitDocuments:
    """Approval policies as SSM documents.

    The operations raise AwsError as AWS would, and NotOurs for other documents.
    """

    def __init__(self, state: JitState) -> None:
        self._state = state

    def table(self) -> dict[tuple[str, str], Operation]:
        """Return the operations of this class, by service and operation."""
        return {
            ("ssm", "CreateDocument"): self.create,
            ("ssm", "GetDocument"): self.get,
            ("ssm", "DescribeDocument"): self.describe,
            ("ssm", "DeleteDocument"): self.delete,
            ("ssm", "ListDocuments"): self.list_all,
        }

    def create(self, caller: Caller, params: Params) -> dict[str, Any]:
        """Store an approval policy. Raises NotOurs for other documents, AwsError for a used name or invalid content."""
        if params.get("DocumentType") not in KINDS:
            raise NotOurs
        name, known = params["Name"], self._policies(caller)
        if name in known:
            raise AwsError("DocumentAlreadyExists", f"Document with same name {name} already exists")
        try:
            known[name] = read_policy(
                name,
                kind=params["DocumentType"],
                content=params["Content"],
                format_=params.get("DocumentFormat", "JSON"),
                created_at=self._state.now(),
            )
        except InvalidPolicy as error:
            raise AwsError("InvalidDocumentContent", str(error)) from error
        return {"DocumentDescription": _description(known[name], caller)}

    def get(self, caller: Caller, params: Params) -> dict[str, Any]:
        """Return a policy with its content, in the requested format.

        Raises NotOurs for other documents, AwsError for a format or version that the sandbox does not have.

        https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetDocument.html
        """
        policy, format_ = self._policy(caller, params), params.get("DocumentFormat", "JSON")
        try:
            content = written(policy, format_)
        except InvalidPolicy as error:
            raise AwsError("InvalidDocument", str(error)) from error
        return {**_identity(policy), "DocumentFormat": format_, "Status": "Active", "Content": content}

    def describe(self, caller: Caller, params: Params) -> dict[str, Any]:
        """Return a policy without its content. Raises NotOurs for other documents, AwsError for another version."""
        return {"Document": _description(self._policy(caller, params), caller)}

    def delete(self, caller: Caller, params: Params) -> dict[str, Any]:
        """Delete a policy. Requests that exist keep their levels. Raises NotOurs for other documents."""
        del self._policies(caller)[self._policy(caller, params).name]
        return {}

    def list_all(self, caller: Caller, params: Params) -> dict[str, Any]:
        """Return a page of the approval policies of the types in the filter. Raises NotOurs if it has none."""
        asked = {f["Key"]: f["Values"] for f in params.get("Filters", []) if "Key" in f}
        older = {f["key"]: [f["value"]] for f in params.get("DocumentFilterList", [])}
        kinds = KINDS & set({**older, **asked}.get("DocumentType", ()))
        if not kinds:
            raise NotOurs
        found = [p for p in self._policies(caller).values() if p.kind in kinds]
        rows, more = page(found, params, "InvalidNextToken")
        return {"DocumentIdentifiers": [{**_identity(p), "Owner": caller.account} for p in rows], **more}

    def _policies(self, caller: Caller) -> dict[str, Policy]:
        return self._state.policies.setdefault((caller.account, caller.region), {})

    def _policy(self, caller: Caller, params: Params) -> Policy:
        policy = self._policies(caller).get(params["Name"].rpartition("/")[2])
        if policy is None:
            raise NotOurs
        if params.get("DocumentVersion", "$DEFAULT") not in ANY_VERSION:
            raise AwsError("InvalidDocumentVersion", f"{params['DocumentVersion']} does not exist")
        return policy


def _identity(policy: Policy) -> dict[str, Any]:
    return {
        "Name": policy.name,
        "CreatedDate": policy.created_at,
        "DocumentVersion": policy.version,
        "DocumentType": policy.kind,
        "DocumentFormat": policy.format,
    }


def _description(policy: Policy, caller: Caller) -> dict[str, Any]:
    return {
        **_identity(policy),
        "Hash": hashlib.sha256(policy.content.encode()).hexdigest(),
        "HashType": "Sha256",
        "Owner": caller.account,
        "Status": "Active",
        "Description": policy.description,
        "SchemaVersion": "0.3",
        "LatestVersion": policy.version,
        "DefaultVersion": policy.version,
    }
