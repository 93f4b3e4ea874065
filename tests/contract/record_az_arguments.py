"""Renews recorded/az-arguments.json: the commands of the Azure command line that infra uses, with their arguments.

Run `python -m tests.contract.record_az_arguments AZ`, with the path of an `az`. It is not installed for the tests: its
packages take 730 MB. The Python package is called `azure-cli`.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

RECORDED = Path(__file__).parent / "recorded" / "az-arguments.json"
COMMANDS = (
    "account show",
    "ad app create",
    "ad app credential delete",
    "ad app credential list",
    "ad app credential reset",
    "ad app delete",
    "ad app federated-credential create",
    "ad app federated-credential list",
    "ad app federated-credential update",
    "ad app list",
    "ad sp create",
    "ad sp list",
    "ad sp show",
    "bot create",
    "bot delete",
    "bot msteams create",
    "bot show",
    "bot update",
    "deployment group create",
    "group create",
    "group exists",
    "login",
    "resource list",
    "rest",
)
# `    --name -n           [Required] : The resource name`; the texts behind it are indented further.
ARGUMENT = re.compile(r"^ {4}(--\S+(?: +-{1,2}\S+)*) +(?:\[(Required)\] |\[\w+\] )?:", re.MULTILINE)


def arguments(text: str) -> dict[str, list[str]]:
    """Return the arguments of a help text, `required` and `optional`. An argument with several names is one text."""
    found: dict[str, list[str]] = {"required": [], "optional": []}
    for names, required in ARGUMENT.findall(text):
        found["required" if required else "optional"].append(" ".join(names.split()))
    return found


def main(az: str) -> None:
    """Write the file."""

    def printed(*words: str) -> str:
        return subprocess.run([az, *words], stdout=subprocess.PIPE, text=True, check=True).stdout

    version = json.loads(printed("version"))["azure-cli"]
    commands = {each: arguments(printed(*each.split(), "--help")) for each in COMMANDS}
    lines = ",\n".join(f'"{name}": {json.dumps(each)}' for name, each in commands.items())
    RECORDED.write_text(f'{{"version": "{version}", "commands": {{\n{lines}\n}}}}\n', "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
