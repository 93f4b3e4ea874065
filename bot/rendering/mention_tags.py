"""Makes the mentions of a card: `<at>` tags in the text, and an entity for each. Teams finds it by the tag's text.

Mentions are the only names from outside that are in a TextBlock.
https://learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-format#mention-support
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bot.domain.shown.views import Mention
from bot.rendering.formatter import CardFormatter, Data
from bot.text.escape import strip_markup


@dataclass(slots=True)
class MentionTags:
    """The tags of one card, and their `entities`."""

    formatter: CardFormatter
    entities: list[Data] = field(default_factory=list)

    def line(self, key: str, people: Sequence[Mention]) -> Data:
        """Return the block of a phrase that mentions `{names}`."""
        tags = self.formatter.say.text("card_line.name_separator").join([self._tag(each) for each in people])
        return {"text": self.formatter.say.text(key, names=tags)}

    def _tag(self, person: Mention) -> str:
        shown = strip_markup(self.formatter.short(person.name)) or "…"
        texts, name, number = {entity["text"] for entity in self.entities}, shown, 1
        while f"<at>{name}</at>" in texts:  # two people with the same name get different tags
            number += 1
            name = f"{shown} ({number})"
        self.entities.append(
            {"type": "mention", "text": f"<at>{name}</at>", "mentioned": {"id": person.id, "name": name}}
        )
        return f"<at>{name}</at>"
