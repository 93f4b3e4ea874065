"""Puts facts into the shapes that several templates use: runs, rows, lines and quotes, within limits of length.

It must not know the card that its output is for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from bot.domain.request import Action
from bot.domain.shown.views import DecisionLine, NodeLine
from bot.rendering.i18n import Localizer, Run
from bot.text.escape import cut, one_line, prose, wrappable
from bot.text.invisible import UNSHOWABLE

Data = dict[str, object]
Runs = list[Run]

LINES_KEPT: Final = 2048  # most names and tags of a card are on its next version and on other cards, too
LONGEST_KEPT: Final = 256  # characters; AWS's limit for a tag. Longer texts are rare, and would need much memory
_kept_line = lru_cache(LINES_KEPT)(one_line)
_wrappable = lru_cache(LINES_KEPT)(wrappable)  # of lines that are cut already


def _line(text: str, limit: int) -> str:
    """Return a text from outside as `one_line` does."""
    return _kept_line(text, limit) if len(text) <= LONGEST_KEPT else one_line(text, limit)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the characters of each text from outside, and on the number of items of each list."""

    name: int  # nodes, people, policies
    prose: int  # reason, comments
    tag: int  # a tag's value; its key gets half
    tags: int
    decisions: int  # the latest decisions
    many: int  # requests of a list, mentioned people, policies


# Tried in turn until a card is small enough. AWS accepts reasons of 256 characters, the bot comments of 400.
LIMITS: Final = (
    Limits(name=128, prose=512, tag=256, tags=20, decisions=25, many=50),
    Limits(name=80, prose=256, tag=80, tags=12, decisions=5, many=20),
    Limits(name=40, prose=256, tag=24, tags=10, decisions=1, many=10),
    # makes every card small enough, even with the characters that need the most bytes
    Limits(name=20, prose=60, tag=8, tags=2, decisions=1, many=1),
)


@dataclass(frozen=True, slots=True)
class CardFormatter:
    """Formats facts in one locale and time zone, within limits.

    A parameter `beside` is a moment that the same card shows with its year (`Localizer.moment`).
    """

    say: Localizer
    limits: Limits
    reader: Localizer | None = None  # the locale of a notice's reader, if it differs

    @property
    def to_reader(self) -> "CardFormatter":
        """Return the same formatter in the reader's locale."""
        return replace(self, say=self.reader) if self.reader else self

    def name(self, text: str) -> str:
        """Return a name from outside on one line, for a TextRun."""
        return _wrappable(self.short(text))

    def short(self, text: str) -> str:
        """Return a name from outside on one line, without marks for wrapping, and cut to the limit for names.

        Invisible names become a visible mark.
        """
        return _line(text, self.limits.name) or (UNSHOWABLE if text else "")

    def person(self, name: str, *, known: bool = True) -> str:
        """Return a name as sentences of the locale have it: with an honorific, where the locale has one.

        An AWS identity that is not known to be a person (`known` is False) has none; it may have quotation marks.
        """
        return self.say.text("name.person" if known else "name.identity", name=name)

    def runs(self, key: str, /, **names: str) -> Runs:
        """Return a phrase filled with names from outside. Moments go through `say.runs`."""
        return self.say.runs(key, **{place: self.name(value) for place, value in names.items()})

    def coded(self, group: str, code: str | None, *, otherwise: str, **names: str) -> Runs:
        """Return the text for a code in a group of words; for a code without words, the text for `otherwise`."""
        key = f"{group}.{code}"
        return self.runs(key if self.say.has(key) else f"{group}.{otherwise}", **names)

    def for_administrators(self, group: str, code: str, /, **names: str) -> list[Runs]:
        """Return the line that says how an administrator changes this, with the names of settings.

        [] for a code without words in the group. Other lines have no names of settings.
        """
        key = f"{group}.{code}"
        return [[*self.runs("value.for_administrators"), *self.runs(key, **names)]] if self.say.has(key) else []

    def conflict(self, policies: Sequence[str]) -> list[Runs]:
        """Return the lines on conflicting policies; [] if there are none."""
        names = self.names(policies)
        if not names:
            return []
        return [self.say.runs("card_line.conflict", policies=names), *self.for_administrators("admin_card", "conflict")]

    def row(self, label: str, *values: Runs) -> Data:
        """Return a labelled row, with one line for each value."""
        return {"label": self.say.text(f"row.{label}"), "lines": list(values)}

    def plain_row(self, label: str, value: str | None) -> list[Data]:
        """Return a row with one text; no row if the text is unknown."""
        return [self.row(label, plain(self.name(value)))] if value else []

    def account(self, account: str, name: str | None) -> str:
        """Return an account's id, after its name if it has one."""
        if name is None:
            return self.name(account)
        return self.say.text("value.account", name=self.name(name), id=self.name(account))

    def account_row(self, account: str, name: str | None) -> Data:
        """Return the row with the account."""
        return self.row("account", plain(self.account(account, name)))

    def place(self, region: str, aws_name: str | None) -> str:
        """Return where a Region is, as people call it: "Tokyo". AWS's name or the code if the locale has no words."""
        key = f"region.{region}"
        return self.say.text(key) if self.say.has(key) else aws_name or region

    def region_row(self, region: str, aws_name: str | None) -> Data:
        """Return the row with the Region's code, after the place if that is known."""
        place, code = self.name(self.place(region, aws_name)), self.name(region)
        shown = self.say.text("value.region", name=place, code=code) if place != code else code
        return self.row("region", plain(shown))

    def node(self, shown: str) -> str:
        """Return the shown names of a request's nodes; without any, the words for nodes that are not known."""
        return shown or self.say.text("value.nodes_unread")

    def node_row(self, node_id: str, nodes: Sequence[NodeLine]) -> list[Data]:
        """Return the row with the node's id, or with the names and ids of several nodes; no row without any id."""
        if not nodes:
            return self.plain_row("node", node_id)
        return [self.row("nodes", *self.nodes(nodes))]

    def nodes(self, nodes: Sequence[NodeLine]) -> list[Runs]:
        """Return a line with the name and the id of each node."""
        return [self._node(each) for each in nodes]

    def _node(self, node: NodeLine) -> Runs:
        if not node.name:
            return plain(self.name(node.id))
        name = _line(node.name, self.limits.name // 2) or UNSHOWABLE
        return plain(self.say.text("value.node", name=_wrappable(name), id=self.name(node.id)))

    def moment_row(self, label: str, at: datetime | None, *, beside: datetime | None = None) -> list[Data]:
        """Return a row with one moment; no row if it is unknown."""
        return [self.row(label, plain(self.say.moment(at, beside=beside)))] if at else []

    def duration_row(self, label: str, span: timedelta | None) -> list[Data]:
        """Return a row with one duration; no row if it is unknown."""
        return [self.row(label, plain(self.say.duration(span)))] if span else []

    def tag_values(self, tags: Sequence[tuple[str, str]], keys: frozenset[str]) -> list[str]:
        """Return the value of the first tag that has one of these keys, in any letter case; [] without such a tag."""
        return [self.name(value) for key, value in tags if key.casefold() in keys and value][:1]

    def tag_row(self, tags: Sequence[tuple[str, str]], *more: Runs) -> list[Data]:
        """Return a row with a line for each tag, "…" if tags were left out, and `more` lines; no row without lines."""
        shown = [*self.tag_lines(tags), *more]
        return [self.row("tags", *shown)] if shown else []

    def tag_lines(self, tags: Sequence[tuple[str, str]]) -> list[Runs]:
        """Return a line for each tag, and "…" if tags were left out."""
        shown = [self._tag(key, value) for key, value in tags[: self.limits.tags]]
        return [*shown, plain("…")] if len(tags) > len(shown) else shown

    def _tag(self, key: str, value: str) -> Runs:
        name, content = _line(key, self.limits.tag // 2), _line(value, self.limits.tag)
        return plain(_wrappable(self.say.text("value.tag", name=name, value=content)))

    def reason(self, text: str) -> list[Data]:
        """Return the reason as a block of lines; no block for an empty reason."""
        return self._block(text)

    def comment(self, text: str | None) -> list[Data]:
        """Return a comment as a block of lines in quotation marks; no block without a comment."""
        return self._block(text or "", self.say.text("value.quote_opens"), self.say.text("value.quote_ends"))

    def _block(self, text: str, opens: str = "", ends: str = "") -> list[Data]:
        """Return a text as a block of its lines; no block for an empty text."""
        lines = self.lines(text, opens, ends)
        return [{"lines": lines}] if lines else []

    def lines(self, text: str, opens: str = "", ends: str = "") -> list[str]:
        """Return the lines of a text, after `opens` and before `ends`; [] for an empty text.

        If the text is cut, a last line says where the full text is.
        """
        shown = prose(text, limit=self.limits.prose)
        if not shown.lines:
            return []
        written = list(shown.lines)
        written[0] = opens + written[0]
        written[-1] += ends
        if shown.shortened:
            written.append(self.say.text("value.shortened"))
        return written

    def decision(self, line: DecisionLine, *, beside: datetime | None, level: int | None = None) -> Data:
        """Return who decided what, when, and with which comment, after the number of the level, if it is given."""
        before = self.say.runs("value.at_level", number=str(level)) if level else []
        return {"runs": [*before, *self.decided(line, beside=beside)], "quote": self.comment(line.comment)}

    def decided(self, line: DecisionLine, *, beside: datetime | None) -> Runs:
        """Return who decided what and when."""
        return [*self._who_decided(line), *self.apart(line.at, beside=beside)]

    def _who_decided(self, line: DecisionLine) -> Runs:
        if line.who is None:
            return self.runs(f"decision.{line.verdict}_unknown")
        if not line.in_teams:
            return self.runs(f"decision.{line.verdict}_outside", who=line.who)
        return self.runs(f"decision.{line.verdict}", who=self.person(line.who))

    def pressed(self, who: str, action: Action, at: datetime | None, *, beside: datetime | None) -> Runs:
        """Return who clicked which button and when."""
        return [*self.runs(f"decision.{action}_pressed", who=self.person(who)), *self.apart(at, beside=beside)]

    def apart(self, at: datetime | None, *, beside: datetime | None = None) -> Runs:
        """Return a moment in the form that follows a phrase; [] if it is unknown."""
        return self.say.runs("value.moment_apart", at=self.say.moment(at, beside=beside)) if at else []

    def latest(self, decisions: Sequence[DecisionLine], *, beside: datetime | None) -> list[Data]:
        """Return the card data of the latest decisions, oldest first, at most `limits.decisions` of them."""
        return [self.decision(line, beside=beside) for line in decisions[-self.limits.decisions :]]

    def names(self, texts: Sequence[str]) -> str:
        """Return several names as one text, within the limits."""
        return self._joined(texts, self.say.text("card_line.name_separator").join)

    def people(self, names: Sequence[str]) -> str:
        """Return the names of people as a sentence lists them, "A and B", within the limits."""
        return self._joined([self.person(each) for each in names], self.say.listed)

    def _joined(self, texts: Sequence[str], join: Callable[[list[str]], str]) -> str:
        return _wrappable(cut(join([self.short(text) for text in texts[: self.limits.many]]), 4 * self.limits.name))


def plain(text: str, *, font: str = "Default") -> Runs:
    """Return a text as a single run."""
    return [{"text": text, "weight": "Default", "font": font}]
