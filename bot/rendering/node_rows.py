"""Makes the rows of a card on its node: of several nodes, one row for each with its own facts."""

from bot.domain.shown.views import CardView, NodeFacts
from bot.rendering.formatter import LIMITS, CardFormatter, Data, Runs, plain


def node_rows(view: CardView, formatter: CardFormatter) -> list[Data]:
    """Return the rows on the node, or on each of several nodes.

    The shortest form of a card has no room for each: it has one list of the nodes, and each value of their facts once.
    """
    if view.nodes and formatter.limits is not LIMITS[-1]:
        return [_one_of_several(number, node, formatter) for number, node in enumerate(view.nodes, 1)]
    return [
        *formatter.node_row(view.node_id, view.nodes),
        *formatter.plain_row("platform", view.platform),
        *formatter.plain_row("host", view.host),
        *formatter.plain_row("private_ip", view.private_ip),
        *_tags(view, formatter),
    ]


def _tags(view: CardView, formatter: CardFormatter) -> list[Data]:
    unread = view.tags_unread and not view.tags
    return formatter.tag_row(view.tags, *([formatter.runs("value.tags_unread")] if unread else []))


def _one_of_several(number: int, node: NodeFacts, formatter: CardFormatter) -> Data:
    facts = [formatter.name(each) for each in (node.platform, node.host, node.private_ip) if each]
    separator = formatter.say.text("value.separator")
    unread = [formatter.runs("value.node_tags_unread")] if node.tags_unread else []
    return {
        "label": formatter.say.text("row.one_node", number=str(number)),
        "lines": [*formatter.nodes([node]), *_line(separator.join(facts)), *formatter.tag_lines(node.tags), *unread],
    }


def _line(text: str) -> list[Runs]:
    return [plain(text)] if text else []
