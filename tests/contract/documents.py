"""Reads the repository's Markdown documents, for tests that compare them with the code."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = (".", "bot", "cards", "infra", "tests")  # documents in other folders are not checked
NOT_OURS = frozenset({"node_modules", "__pycache__"})
README, CONFIGURATION, OPERATIONS = "README.md", "infra/docs/configuration.md", "infra/docs/operations.md"
INSTALLATION, CONTRIBUTING, SECURITY = "infra/README.md", "CONTRIBUTING.md", "SECURITY.md"
_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def names() -> list[str]:
    """Return the path of every document, relative to the repository."""
    found = (ROOT / folder for folder in FOLDERS)
    paths = [path for folder in found for path in (folder.glob("*.md") if folder == ROOT else folder.rglob("*.md"))]
    return sorted(str(path.relative_to(ROOT)) for path in paths if NOT_OURS.isdisjoint(path.parts))


def read(name: str) -> str:
    """Return the text of a document."""
    return (ROOT / name).read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Return the contents of the fenced code blocks of a language."""
    return [content for _, kind, content in _FENCED.findall(text) if kind == language]


def prose(text: str) -> str:
    """Return a document without its fenced code blocks."""
    return _FENCED.sub("", text)


def section(text: str, heading: str) -> str:
    """Return the text below a heading (`## Commands`), up to the next heading of its level or above."""
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, heading
    level = heading.index(" ")
    return re.split(rf"^#{{1,{level}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def table(text: str, *head: str) -> list[tuple[str, ...]]:
    """Return the cells of each row of the first table with this head."""
    _, found, rest = text.partition(f"| {' | '.join(head)} |\n")
    assert found, head
    lines = rest.partition("\n\n")[0].splitlines()[1:]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines if line.startswith("|")]


def anchors(text: str) -> frozenset[str]:
    """Return the anchors of the headings, as GitHub makes them. A repeated heading gets -1, -2 and so on."""
    seen: dict[str, int] = {}
    found = set()
    for heading in re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE):
        slug = re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")
        count = seen[slug] = seen.get(slug, -1) + 1
        found.add(f"{slug}-{count}" if count else slug)
    return frozenset(found)


def links(text: str) -> Iterator[str]:
    """Yield the targets of links and pictures inside the repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"", prose(text)):
        link = "".join(target)
        if "://" not in link and not link.startswith("mailto:"):
            yield link
