"""A fake `az` with state: the commands of infra/azure/create-bot.sh, with the arguments that the real one has.

    python -m tests.fakes.azure FILE <words of az>

FILE holds the state as JSON (`Azure`). Every call is recorded there. An unknown command or argument, and a missing
required one, exits with code 2, as in the real program.
"""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import jmespath

ARGUMENTS = Path(__file__).parents[1] / "contract" / "recorded" / "az-arguments.json"
TENANT = "11111111-1111-4111-8111-111111111111"
SECRET = "Xy7~fake.secret-of-the-app_0001"
Options = dict[str, str]


class Refused(Exception):
    """The command fails; the message is printed on stderr."""


@dataclass(slots=True)
class Azure:
    """Everything in the tenant and the subscription."""

    groups: list[str] = field(default_factory=list)
    apps: list[dict[str, str]] = field(default_factory=list)
    principals: list[str] = field(default_factory=list)  # the app ids
    secrets: int = 0  # client secrets of all apps
    federated: dict[str, dict[str, Any]] = field(default_factory=dict)
    bots: dict[str, dict[str, str]] = field(default_factory=dict)
    channels: list[str] = field(default_factory=list)  # the bots with a Teams channel
    failing: str = ""  # a command that fails
    calls: list[str] = field(default_factory=list)  # each as one line

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read the state."""
        return cls(**json.loads(file.read_text("utf-8")))

    def write(self, file: Path) -> None:
        """Write the state."""
        file.write_text(json.dumps(asdict(self)), "utf-8")


def parse(words: list[str], known: dict[str, dict[str, list[str]]]) -> tuple[str, Options]:
    """Return the command and its arguments by their first names. Raises Refused for what the real one does not take."""
    size = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
    command = " ".join(words[:size])
    if command not in known:
        raise Refused(f"'{command}' is not in the recorded commands")
    names = {name: each.split()[0] for kind in known[command].values() for each in kind for name in each.split()}
    options: Options = {}
    waiting = ""
    for word in words[size:]:
        if re.match(r"--?[a-z]", word):
            if word not in names:
                raise Refused(f"unrecognized arguments: {word}")
            waiting = names[word]
            options[waiting] = ""
        elif not waiting:
            raise Refused(f"unrecognized arguments: {word}")
        else:
            options[waiting] = f"{options[waiting]} {word}".strip()
    missing = [each for each in known[command]["required"] if each.split()[0] not in options]
    if missing:
        raise Refused(f"the following arguments are required: {missing}")
    return command, options


def answer(azure: Azure, command: str, options: Options) -> Any:
    """Make the command's effect. Return its answer, before `--query`."""
    if azure.failing == command:
        raise Refused("Insufficient privileges to complete the operation.")
    return COMMANDS[command](azure, options)


def _filtered(options: Options, name: str) -> str:
    found = re.fullmatch(rf"{name} eq '([^']*)'", options["--filter"])
    if not found:
        raise Refused(f"Invalid filter clause: {options['--filter']}")
    return found[1]


def _apps(azure: Azure, options: Options) -> Any:
    return [app for app in azure.apps if app["displayName"] == _filtered(options, "displayName")]


def _create_app(azure: Azure, options: Options) -> Any:
    number = len(azure.apps) + 1
    app = {
        "appId": f"22222222-2222-4222-8222-{number:012}",
        "displayName": options["--display-name"],
        "signInAudience": options["--sign-in-audience"],
    }
    azure.apps.append(app)
    return app


def _principals(azure: Azure, options: Options) -> Any:
    return [{"id": f"of {app}"} for app in azure.principals if app == _filtered(options, "appId")]


def _create_principal(azure: Azure, options: Options) -> Any:
    azure.principals.append(_app(azure, options))
    return {"id": f"of {options['--id']}"}


def _new_secret(azure: Azure, options: Options) -> Any:
    azure.secrets = azure.secrets + 1 if "--append" in options else 1
    return {"appId": _app(azure, options), "password": SECRET, "tenant": TENANT}


def _federated(azure: Azure, options: Options) -> Any:
    _app(azure, options)
    return [{"id": f"id of {name}", **each} for name, each in azure.federated.items()]


def _create_federated(azure: Azure, options: Options) -> Any:
    given = json.loads(options["--parameters"])
    if given["name"] in azure.federated:
        raise Refused("FederatedIdentityCredential with name already exists.")
    azure.federated[given["name"]] = given
    return {"id": "new"}


def _update_federated(azure: Azure, options: Options) -> Any:
    azure.federated[options["--federated-credential-id"]] |= json.loads(options["--parameters"])


def _bots(azure: Azure, options: Options) -> Any:
    assert options["--resource-type"] == "Microsoft.BotService/botServices"
    return [{"id": name} for name in azure.bots if name == options["--name"]]


def _create_bot(azure: Azure, options: Options) -> Any:
    if options["--name"] in azure.bots:
        raise Refused("The bot name is not available.")
    azure.bots[options["--name"]] = {
        "msaAppId": options["--appid"],
        "msaAppType": options["--app-type"],
        "msaAppTenantId": options["--tenant-id"],
        "sku": options["--sku"],
    }
    return {"id": options["--name"]}


def _update_bot(azure: Azure, options: Options) -> Any:
    azure.bots[options["--name"]]["endpoint"] = options["--endpoint"]
    return {"id": options["--name"]}


def _create_channel(azure: Azure, options: Options) -> Any:
    assert options["--name"] in azure.bots
    azure.channels = sorted({*azure.channels, options["--name"]})
    return {"id": "channel"}


def _app(azure: Azure, options: Options) -> str:
    if options["--id"] not in {app["appId"] for app in azure.apps}:
        raise Refused(f"Resource '{options['--id']}' does not exist.")
    return options["--id"]


COMMANDS: dict[str, Callable[[Azure, Options], Any]] = {
    "account show": lambda _azure, _options: {"tenantId": TENANT},
    "group exists": lambda azure, options: options["--name"] in azure.groups,
    "ad app list": _apps,
    "ad app create": _create_app,
    "ad sp list": _principals,
    "ad sp create": _create_principal,
    "ad app credential reset": _new_secret,
    "ad app federated-credential list": _federated,
    "ad app federated-credential create": _create_federated,
    "ad app federated-credential update": _update_federated,
    "resource list": _bots,
    "bot show": lambda azure, options: {"properties": azure.bots[options["--name"]]},
    "bot create": _create_bot,
    "bot update": _update_bot,
    "bot msteams create": _create_channel,
}


def main(file: Path, words: list[str]) -> None:
    """Answer one call, in the format `tsv`. Exit code 1 if Azure refuses it, 2 if the arguments are wrong."""
    azure = Azure.read(file)
    azure.calls.append(" ".join(words))
    azure.write(file)
    try:
        command, options = parse(words, json.loads(ARGUMENTS.read_text("utf-8"))["commands"])
    except Refused as refused:
        sys.exit(f"ERROR: {refused}")
    assert options["--output"] == "tsv"
    try:
        result = answer(azure, command, options)
    except Refused as refused:
        sys.exit(f"ERROR: {refused}")
    azure.write(file)
    if "--query" in options:
        result = jmespath.search(options["--query"], result)
    for each in result if isinstance(result, list) else [result]:
        print(json.dumps(each).strip('"'))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
