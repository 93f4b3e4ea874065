"""Sandboxes that start with other settings than the usual ones; moto allows one at a time."""

import json

import pytest

from bot.sandbox.aws_sandbox import SandboxAws
from bot.sandbox.jit_assumptions import Assumptions
from bot.sandbox.jit_policies import MANUAL
from bot.sandbox.world import APPROVER_ROLE, REQUESTER, level, manual_policy
from tests.contract.scene import refused, signal, staged


def test_a_second_sandbox_at_once_is_refused() -> None:
    """State in moto is the process's: a second start would pull the first one's world away."""
    with staged() as scene, pytest.raises(RuntimeError):
        SandboxAws.start()
    with staged() as scene:
        scene.ask()


def test_tag_targets_come_before_the_policy_for_all_nodes() -> None:
    """A policy for all nodes applies only where no tag is targeted."""
    with staged() as scene:
        everything = manual_policy([level("Anyone", APPROVER_ROLE)], targets={"InstanceIds": ["*"]})
        scene.bot.create_document(Name="All-Nodes", Content=json.dumps(everything), DocumentType=MANUAL)
        assert scene.about(scene.ask("bastion-01").id)["approvalPolicy"] == "All-Nodes"
        assert scene.about(scene.ask("web-prod-01").id)["approvalPolicy"] == "Standard-Nodes"
        assert scene.about(scene.ask("web-dev-01").id)["approvalPolicy"] == "SSM-JustInTimeAccessAutoApprovalPolicy"


def test_the_requester_may_have_an_identity_center_id() -> None:
    """A session name that is known to Identity Center gives the request that user's id."""
    with staged(identity_center_users={REQUESTER: "e1fbc510-8081-70c2-448f-0123456789ab"}) as scene:
        asked = scene.ask()
        assert scene.about(asked.id)["requester"]["id"] == "e1fbc510-8081-70c2-448f-0123456789ab"
        requesters = {e["detail"]["Requester"] for e in scene.events()}
        assert requesters == {"e1fbc510-8081-70c2-448f-0123456789ab"}


def test_two_starts_are_independent() -> None:
    """A sandbox that starts after another one knows nothing of its requests, queues and nodes."""
    with staged() as scene:
        first = scene.ask()
    with staged() as scene:
        assert scene.bot.describe_ops_items(OpsItemFilters=[])["OpsItemSummaries"] == []
        assert scene.events() == []
        with refused("OpsItemNotFoundException"):
            scene.ops_item(first.id)
        instances = scene.aws.client("ec2").describe_instances()["Reservations"]
        assert len(instances) == len(scene.aws.world.nodes) - 1


def test_what_aws_does_not_document_can_be_otherwise() -> None:
    """Without decisions in the outputs, and with AccessDenied for strangers, the sandbox plays that AWS too."""
    assumed = Assumptions(decisions_shown=False, not_an_approver_error="AccessDeniedException")
    with staged(assumed=assumed) as scene:
        asked = scene.ask()
        with refused("AccessDeniedException"):
            signal(scene.lead(), asked)
        signal(scene.approver(), asked)
        assert "Outputs" not in scene.execution(asked)["StepExecutions"][0]
