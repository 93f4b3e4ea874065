"""infra/azure/bot.json against Azure's own model of a bot, and documented `az` commands against the real arguments.

The models of azure-mgmt-botservice drop members that they do not know, so a wrong name does not survive them.
"""

import json
import re
import shlex
from copy import deepcopy
from typing import Any

import pytest
from azure.mgmt.botservice import models

from tests.contract import documents
from tests.fakes import azure as fake
from tests.fakes.azure import Refused

TEMPLATE = json.loads(documents.read("infra/azure/bot.json"))
BOT, CHANNEL = TEMPLATE["resources"]
OF_THE_DEPLOYMENT = {"type", "apiVersion", "name", "dependsOn"}  # members that the model of a resource does not have
KNOWN = json.loads(fake.ARGUMENTS.read_text("utf-8"))["commands"]
PARAMETER = re.compile(r"parameters\('(\w+)'\)")


def body(resource: dict[str, Any]) -> dict[str, Any]:
    """Return what a deployment sends to Azure as the resource."""
    return {name: value for name, value in resource.items() if name not in OF_THE_DEPLOYMENT}


def known(model: Any, content: dict[str, Any]) -> Any:
    """Return what Azure's model takes of the content."""
    return model.from_dict(deepcopy(content))  # it removes members from its argument


def missing(resource: Any) -> list[str]:
    """Return the required members that a resource and the models inside it do not have."""
    inside = [each for each in vars(resource).values() if hasattr(each, "_validation")]
    required = [name for name, rule in resource._validation.items() if rule.get("required")]
    absent = [name for name in required if getattr(resource, name) is None]
    return [*absent, *(name for each in inside for name in missing(each))]


def commands(name: str) -> list[str]:
    """Return each `az …` in the shell blocks of a document, with continued lines joined."""
    blocks = documents.blocks(documents.read(name), "sh")
    return [found for block in blocks for found in re.findall(r"^ *az (.+(?:\n {2,}.+)*)", block, re.MULTILINE)]


def test_bot_of_the_azure_template_agrees_with_the_model_of_azure() -> None:
    """Every member of the bot is Azure's, no required one is missing, and the app is of one tenant."""
    bot = known(models.Bot, body(BOT))
    assert (bot.serialize(), missing(bot)) == (body(BOT), [])
    assert BOT["type"] == "Microsoft.BotService/botServices"
    assert BOT["properties"]["msaAppType"] == models.MsaAppType.SINGLE_TENANT
    assert (BOT["kind"], BOT["sku"]["name"]) == (models.Kind.AZUREBOT, models.SkuName.F0)


def test_teams_channel_of_the_azure_template_agrees_with_the_model_of_azure() -> None:
    """The channel is Teams', enabled, and created after its bot."""
    channel = known(models.BotChannel, body(CHANNEL))
    assert isinstance(channel.properties, models.MsTeamsChannel)
    assert (channel.serialize(), missing(channel)) == (body(CHANNEL), [])
    assert CHANNEL["type"] == "Microsoft.BotService/botServices/channels"
    assert CHANNEL["name"].endswith(f"/{models.ChannelName.MS_TEAMS_CHANNEL.value}')]")
    assert CHANNEL["dependsOn"] == [f"[resourceId('{BOT['type']}', parameters('name'))]"]


def test_control_comparison_with_the_model_of_azure_finds_wrong_and_missing_members() -> None:
    """Control: a misspelled member is dropped, and a missing one is reported."""
    wrong = {**body(BOT), "properties": {**BOT["properties"], "msaApType": "SingleTenant"}}
    assert known(models.Bot, wrong).serialize() == body(BOT)
    without = {name: value for name, value in BOT["properties"].items() if name != "msaAppId"}
    assert missing(known(models.Bot, {**body(BOT), "properties": without})) == ["msa_app_id"]


def test_azure_template_uses_exactly_the_parameters_that_it_declares() -> None:
    """A parameter without a use would have no effect."""
    assert set(PARAMETER.findall(json.dumps(TEMPLATE["resources"]))) == set(TEMPLATE["parameters"])


def test_installation_guide_has_az_commands_to_check() -> None:
    """The test of documented `az` commands has parameters."""
    assert any(each.startswith("deployment group create") for each in commands(documents.INSTALLATION))
    assert any(each.startswith("bot update") for each in commands(documents.OPERATIONS))


@pytest.mark.parametrize(
    "command",
    [*commands(documents.INSTALLATION), *commands(documents.OPERATIONS)],
    ids=lambda each: each.split(" --")[0],
)
def test_documented_az_command_has_existing_arguments(command: str) -> None:
    """The command and each argument exist, and no required argument is missing."""
    words = shlex.split(command.partition(" | ")[0].replace("\\\n", " "), comments=True)
    fake.parse(words, KNOWN)


def test_documented_deployment_gives_the_parameters_of_the_azure_template() -> None:
    """Each parameter without a default value has a value in the command, and no other name is used."""
    (command,) = [each for each in commands(documents.INSTALLATION) if each.startswith("deployment")]
    given = set(re.findall(r"\b(\w+)=", command.partition("--parameters")[2]))
    needed = {name for name, each in TEMPLATE["parameters"].items() if "defaultValue" not in each}
    assert needed <= given <= set(TEMPLATE["parameters"])


@pytest.mark.parametrize("line", ["bot create --name x", "bot make --name x", "group exists --name x --nam y"])
def test_control_unknown_and_missing_arguments_of_az_are_refused(line: str) -> None:
    """Control: a missing argument, an unknown command and an unknown argument are refused."""
    with pytest.raises(Refused):
        fake.parse(line.split(), KNOWN)
