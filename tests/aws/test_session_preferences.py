"""Session Manager's preferences over real HTTP."""

import json
from datetime import timedelta

import pytest

from bot.aws.assembly import AwsSide
from bot.aws.jit.assumptions import PREFERENCES_DOCUMENT
from bot.ports.aws import AwsUnavailable
from bot.ports.probes import SessionPreferences
from bot.sandbox.aws.world import ACCOUNT, REGION
from tests.contract import gateway
from tests.contract.scene import Scene

pytestmark = pytest.mark.usefixtures("patience")
stage, scene, side, patience = gateway.stage, gateway.scene, gateway.side, gateway.patience

CONTENT = {
    "schemaVersion": "1.0",
    "description": "Document to hold regional settings for Session Manager",
    "sessionType": "Standard_Stream",
    "inputs": {"maxSessionDuration": "90", "idleSessionTimeout": "10", "s3BucketName": ""},
}


async def test_saved_preferences_are_read_and_defaults_if_there_are_none(scene: Scene, side: AwsSide) -> None:
    """AWS makes the document when somebody saves preferences. Without permission or with other content, it is unread."""
    assert await side.session_preferences(ACCOUNT, REGION) == SessionPreferences(None, timedelta(minutes=20))
    scene.bot.create_document(Name=PREFERENCES_DOCUMENT, Content=json.dumps(CONTENT), DocumentType="Session")
    assert await side.session_preferences(ACCOUNT, REGION) == SessionPreferences(
        timedelta(minutes=90), timedelta(minutes=10)
    )
    scene.aws.faults.fail("GetDocument", "AccessDeniedException")
    with pytest.raises(AwsUnavailable, match="AccessDenied"):
        await side.session_preferences(ACCOUNT, REGION)
    scene.aws.faults.replace("GetDocument", json.dumps({"Name": PREFERENCES_DOCUMENT, "Content": "[]"}))
    with pytest.raises(AwsUnavailable, match="UnreadablePreferences"):
        await side.session_preferences(ACCOUNT, REGION)
