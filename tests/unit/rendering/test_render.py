"""Tests for rendering views as Adaptive Cards."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.decision import COMMENT_LIMIT, Outcome
from bot.domain.request import Verdict, Withdrawal
from bot.domain.rules.permission import Refusal
from bot.domain.shown.replies.reply_views import PendingView, RequestLine, View
from bot.domain.shown.views import Banner, DirectKind, EndingLine, Mention, NodeFacts, NoteKind, Notice, NoticeCode
from bot.rendering import render, summary
from bot.rendering.gallery import SAMPLES
from bot.rendering.gallery.sample import LINK
from bot.rendering.i18n import LOCALES
from bot.rendering.render import CARD_LIMIT, size
from tests.fakes.card_text import card_schema, nodes, shown, words
from tests.fakes.views import AT, bare_request, decision, direct, every_view, note, request

POISON = "*b* [x](https://example.com/y) <at>all</at> ${key} {{DATE(2026-11-30T05:19:00Z)}} \u202e & <b>"


_LITERAL = {"TextRun": {"text"}, "Input.Text": {"value"}}  # where a client shows text without parsing it


def card(view: View | Notice, notice: Notice | None = None, locale: str = "en") -> Mapping[str, Any]:
    """Render a card for the time zone of Tokyo."""
    return render(view, locale=locale, timezone="Asia/Tokyo", notice=notice)


def of_type(tree: object, kind: str) -> list[dict[str, Any]]:
    """Return the elements of this type in a card."""
    return [each for each in nodes(tree) if each.get("type") == kind]


def test_every_card_follows_the_schema_of_adaptive_cards() -> None:
    """Every card in every language follows the official schema, apart from Teams' own `msteams`."""
    for locale, (view, notice) in itertools.product(LOCALES, every_view()):
        made = {name: value for name, value in card(view, notice, locale).items() if name != "msteams"}
        errors = card_schema().iter_errors(made)
        assert [f"{list(error.instance_path)}: {error.message}" for error in errors] == []


@pytest.mark.parametrize("locale", LOCALES)
def test_cards_have_a_language_and_spoken_text(locale: str) -> None:
    """Every card has its language, version 1.5, and the same text for screen readers and for old clients."""
    for view, notice in every_view():
        made = card(view, notice, locale)
        assert (made["lang"], made["version"]) == (locale, "1.5")
        assert made["fallbackText"] == made["speak"] != ""


def _poisoned() -> Iterator[tuple[View | Notice, Notice | None]]:
    lines = (replace(decision(Verdict.REJECT, POISON), comment=POISON),)
    view = request(
        node_name=POISON,
        requester=POISON,
        requester_principal=POISON,
        reason=POISON,
        platform=POISON,
        private_ip=POISON,
        tags=((POISON, POISON),),
        policy=POISON,
        decisions=lines,
        applying=lines[0],
        mentions=(Mention("29:1-a", POISON),),
        mentioned=(Mention("29:1-b", POISON),),
        rings=True,
        requester_unchecked=True,
        conflicting_policies=(POISON, POISON),
    )
    notice = Notice(NoticeCode.DECIDED, who="x", verdict=Verdict.REJECT, comment=POISON, detail=POISON, typed=POISON)
    notice = replace(notice, typed_for=Verdict.REJECT)
    yield view, notice
    yield replace(view, rings=False), None
    yield replace(view, banner=Banner.REJECTED), notice
    yield notice, None
    yield direct(node_name=POISON, reason=POISON, decisions=lines, conflicting_policies=(POISON,)), None
    for kind in NoteKind:
        yield (
            note(kind, node=POISON, who=POISON, comment=POISON, requester=POISON, detail=POISON, call="c", role="r"),
            None,
        )
    yield PendingView((RequestLine("oi-f57e817742bd", POISON, POISON, Banner.WAITING),), AT), None


@pytest.mark.parametrize("locale", LOCALES)
def test_markup_in_text_from_outside_is_never_active(locale: str) -> None:
    """Text from outside is only in TextRuns and in the comment field, where clients do not parse markup.

    In mentions, notifications, and the texts for screen readers and old clients, look-alikes replace its markup.
    """
    for view, notice in _poisoned():
        made = card(view, notice, locale)
        assert not re.search(r"\{\{|\u202e", json.dumps(made, ensure_ascii=False))
        if isinstance(view, PendingView):
            assert "*b* [x](https://example.com/y) <at>all</at> ${key}" in shown(made)
        for each in nodes(made):
            live = {key: text for key, text in each.items() if isinstance(text, str) and "*b*" in text}
            assert live.keys() <= _LITERAL.get(each.get("type", ""), set())
        for text in (made["speak"], made["fallbackText"], summary(view, locale=locale)):
            assert not set("<>[]*") & set(text)


def mention_lines(made: Mapping[str, Any]) -> list[str]:
    """Return the lines of a card that mention people."""
    return [each["text"] for each in of_type(made, "TextBlock") if "<at>" in each["text"]]


HOSTILE_NAMES = (
    "</at><at>everyone</at>",
    "[x](https://evil.example.com)",
    "<img src=x onerror=alert(1)>",
    "**Lead** _of_ `all`",
    "&lt;at&gt;team&lt;/at&gt;",
    "a\n\n# Approved",
    "{{DATE(2026-11-30T05:19:00Z)}}",
    "\u202e\u2066Alex",
    "\u200b",
    "",
)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_name_adds_no_markup_to_a_mention(name: str) -> None:
    """With each hostile name, the line has only the card's own tag, and the entity refers to that person."""
    made = card(request(mentioned=(Mention("29:1-a", name),), rings=True))
    (line,), (entity,) = mention_lines(made), made["msteams"]["entities"]
    assert line == f"Mentioned: {entity['text']}"
    inner = entity["text"].removeprefix("<at>").removesuffix("</at>")
    assert not set(inner) & set("<>[]*`&#_\n")
    assert inner.strip() == inner != ""
    assert entity["mentioned"] == {"id": "29:1-a", "name": inner}


def test_mention_and_its_entity_have_the_same_text() -> None:
    """Teams matches them by text. Two people with the same name get different texts."""
    asked, named = (Mention("29:1-a", "田中 一郎"), Mention("29:1-b", "Alex")), (Mention("29:1-c", "Alex"),)
    made = card(request(mentions=asked, mentioned=named, rings=True))
    assert mention_lines(made) == [
        "Please decide: <at>田中 一郎</at>, <at>Alex</at>",
        "Mentioned: <at>Alex (2)</at>",
    ]
    assert [(each["text"], each["mentioned"]["id"]) for each in made["msteams"]["entities"]] == [
        ("<at>田中 一郎</at>", "29:1-a"),
        ("<at>Alex</at>", "29:1-b"),
        ("<at>Alex (2)</at>", "29:1-c"),
    ]


@pytest.mark.parametrize("name", ["佐藤 花子", *HOSTILE_NAMES[:4]])
def test_updated_card_mentions_people_without_notifying_them(name: str) -> None:
    """An update shows the mentioned people in TextRuns, without entities, because entities could notify them again."""
    made = card(request(mentions=(Mention("29:1-a", name),), mentioned=(Mention("29:1-b", name),), rings=False))
    assert (mention_lines(made), made["msteams"]["entities"]) == ([], [])
    assert f"Please decide: {name}" in shown(made)
    assert f"Mentioned: {name}" in shown(made)


def test_waiting_card_shows_every_fact_in_order() -> None:
    """What a decision needs is above the buttons; all other facts are below them, and hidden until someone opens them.

    Times are in the channel's time zone.
    """
    made = card(request())
    (facts,) = [each for each in nodes(made) if each.get("id") == "facts"]
    for part, expected in (
        ([each for each in made["body"] if each is not facts], [
            "Waiting for approval: level 1 of 2\nExpires Mon, Nov 30, 14:19 JST", "web-prod-01", "production",
            "Alex Wilber requests access for 4 hours from approval.", "Reason: ", "Checkout has answered 5xx",
            "prod-core · Tokyo · Amazon Linux 2023",
            "Why here: Environment = production",
        ]),
        (facts, [
            "i-02999bd501754105a", "Amazon Linux 2023", "10.0.3.17", "Environment = production",
            "prod-core (111122223333)", "Tokyo · ap-northeast-1", "E-commerce-Manual-Approval-Policy", "1 of 2 (Level1)", "1 approval needed",
            "Mon, Nov 23, 2026, 14:19 JST", "Mon, Nov 30, 14:19 JST", "oi-f57e817742bd",
        ]),
    ):  # fmt: skip
        text = shown(part)
        positions = [text.index(each) for each in expected]
        assert positions == sorted(positions)
    assert facts["isVisible"] is False


@pytest.mark.parametrize("view", [request(), bare_request()])
def test_button_data_has_only_ids_and_the_verb(view: View) -> None:
    """A button's data has the ids of request and step, and for a submit button also the verb. It has nothing else."""
    made = card(view)
    data = {"request": "111122223333/ap-northeast-1/oi-f57e817742bd", "step": "Level1"}
    buttons = of_type(made["body"], "Action.Execute")
    assert [each["verb"] for each in buttons] == ["approve", "reject", "approve", "reviewing"]
    for each in buttons:
        assert each["data"] == data
        assert each["fallback"]["type"] == "Action.Submit"
        assert each["fallback"]["data"] == {**data, "verb": each["verb"]}
    assert made["refresh"]["action"]["data"] == data


def test_maximum_length_of_the_comment_field_is_the_comment_limit() -> None:
    """The field accepts COMMENT_LIMIT characters, because the bot adds the name of the person who decided."""
    fields = of_type(card(request()), "Input.Text")
    assert [(field["id"], field["maxLength"]) for field in fields] == [
        ("comment", COMMENT_LIMIT),
        ("approval_comment", COMMENT_LIMIT),
    ]


@pytest.mark.parametrize("verdicts", [(), (Verdict.REJECT,), (Verdict.APPROVE,), tuple(Verdict)])
def test_comment_field_says_when_a_comment_is_required(verdicts: tuple[Verdict, ...]) -> None:
    """The label of the field says it, so people know before they click."""
    labels = {field["id"]: field["label"] for field in of_type(card(request(comment_required=verdicts)), "Input.Text")}
    assert ("required" in labels["comment"]) == (Verdict.REJECT in verdicts)
    assert ("required" in labels["approval_comment"]) == (Verdict.APPROVE in verdicts)


@pytest.mark.parametrize("verdicts", [(), (Verdict.REJECT,), (Verdict.APPROVE,), tuple(Verdict)])
def test_reject_takes_two_taps_and_approve_one_unless_it_needs_a_comment(verdicts: tuple[Verdict, ...]) -> None:
    """A thumb does not reject by mistake. Approve with a comment opens a field of its own."""
    made = card(request(comment_required=verdicts))
    folded = of_type([each for each in made["body"] if each.get("id") == "facts"], "ActionSet")
    shown = [each for each in of_type(made["body"], "ActionSet") if each not in folded]
    actions = [action for each in shown for action in each["actions"]]
    at_once = [each["verb"] for each in actions if each["type"] == "Action.Execute"]
    opened = [
        [each["verb"] for each in action["card"]["actions"]]
        for action in actions
        if action["type"] == "Action.ShowCard"
    ]
    assert at_once == ([] if Verdict.APPROVE in verdicts else ["approve"])
    assert sorted(opened) == [["approve"], ["reject"]]


@pytest.mark.parametrize("reason", ["x" * 250, "決" * 120, "a\n" * 8])
def test_long_reason_begins_folded_with_a_button_that_shows_all_of_it(reason: str) -> None:
    """The button is above Approve. A reason that fits into five lines of a phone has no such button."""
    made = card(request(reason=reason))
    (fold,) = [each for each in of_type(made, "ActionSet") if each.get("id") == "show-reason"]
    (toggle,) = fold["actions"]
    places = {each["id"]: each for each in nodes(made) if "id" in each}
    after = {each["elementId"]: each["isVisible"] for each in toggle["targetElements"]}
    assert after == {"reason-start": False, "reason": True, "show-reason": False}
    assert (places["reason"]["isVisible"], "…" in shown(places["reason-start"])) == (False, True)
    assert shown(places["reason"]).replace("\n", "").replace("Reason: ", "") == reason.replace("\n", "")
    written = json.dumps(made)
    assert written.index("show-reason") < written.index('"approve"')
    assert "show-reason" not in json.dumps(card(request(reason="fix it " * 25)))


@pytest.mark.parametrize("banner", list(Banner))
def test_card_without_buttons_has_no_comment_field(banner: Banner) -> None:
    """A comment can only be sent with a click."""
    made = card(request(banner=banner, buttons=False))
    assert of_type(made["body"], "Action.Execute") == of_type(made, "Input.Text") == []


def test_decided_card_begins_with_result_person_time_and_comment() -> None:
    """The card begins with the result, then who decided, when, and with which comment."""
    text = shown(card(SAMPLES["rejected"].view))
    assert text.startswith(
        "Rejected\nLevel 1: Rejected by 佐藤 花子 on Mon, Nov 23, 14:25 JST\n“Please reproduce it in staging first.”"
    )


def test_notice_about_a_late_click_shows_person_time_and_comment_of_the_decision() -> None:
    """The notice says who decided, when and with which comment, both above a card and alone."""
    late = Notice(NoticeCode.DECIDED, who="鈴木 芽依", verdict=Verdict.REJECT, at=AT, comment="not now")
    for view in (request(banner=Banner.REJECTED, buttons=False), late):
        made = card(view, None if view is late else late)
        assert re.search("Rejected by 鈴木 芽依 on Mon, Nov 23,( 2026,)? 14:25 JST\n“not now”", shown(made))


def test_notice_does_not_repeat_a_decision_that_the_card_shows() -> None:
    """A decision that the card already shows is left out of the notice; any other decision is shown."""
    line = decision(Verdict.APPROVE, "田中 一郎")
    late = Notice(Outcome.STEP_PASSED, who=line.who, verdict=line.verdict, at=AT, comment=line.comment)
    assert shown(card(request(decisions=(line,)), late)).count("Approved by 田中 一郎") == 1
    other = replace(line, who="鈴木 芽依")
    assert shown(card(request(decisions=(other,)), late)).count("Approved by") == 2


def test_notice_about_a_decision_in_progress_does_not_say_that_it_is_approved() -> None:
    """A decision that AWS has not accepted is shown as a click, never as "approved"."""
    busy = Notice(NoticeCode.BUSY, who="鈴木 芽依", verdict=Verdict.APPROVE, at=AT)
    text = shown(card(request(), busy))
    assert "鈴木 芽依 clicked Approve" in text
    assert "Approved" not in text


def test_refused_click_keeps_the_typed_comment() -> None:
    """The answer is the current card with a notice above it, and the comment is still in its field."""
    made = card(request(), Notice(Refusal.NOT_APPROVER, typed="halfway\nthrough", typed_for=Verdict.REJECT))
    assert shown(made).startswith("You’re not an approver")
    assert [each["value"] for each in of_type(made, "Input.Text")] == ["halfway\nthrough", ""]


def test_each_connect_command_is_one_unchanged_text_run() -> None:
    """A person can copy the command from the direct message as a whole."""
    view = direct()
    runs = [each["text"] for each in of_type(card(view), "TextRun") if each.get("fontType") == "Monospace"]
    assert [run for run in runs if run in view.commands] == list(view.commands)


def test_message_on_several_nodes_says_which_command_is_for_which_node() -> None:
    """Of more than two nodes, it has only the command for the first, and the ids of the others."""
    two, three = (card(SAMPLES[f"direct-message-{name}"].view) for name in ("several-nodes", "many-nodes"))
    for made, names in ((two, ["web-prod-01", "mi-0123456789abcdef0"]), (three, ["web-prod-01"])):
        blocks = [each for each in of_type(made, "Container") if each.get("style") == "emphasis"]
        commands = [shown(each).split("\n") for each in blocks if "start-session" in shown(each)]
        assert [name for name, _ in commands] == names * 2  # for the shell, then for PowerShell
        targets = ["i-02999bd501754105a", "mi-0123456789abcdef0"][: len(names)]
        assert all(f"--target {target}" in command for target, (_, command) in zip(targets * 2, commands, strict=True))
    said = shown(three).split("\n")
    start = said.index("To connect to another node, replace the ID after --target:")
    assert said[start + 1 : start + 3] == ["mi-0123456789abcdef0", "web-prod-02 (i-0a1b2c3d4e5f60718)"]


@pytest.mark.parametrize("kind", [NoteKind.UNDONE, NoteKind.UNANSWERED])
def test_note_does_not_say_that_a_decision_had_no_effect_if_that_is_unknown(kind: NoteKind) -> None:
    """AWS did not answer, or does not show the decision. The note names the decision, the request and the node."""
    texts = {
        "en": "It isn’t known whether 田中 一郎’s approval had an effect on Alex Wilber’s request for access to web-prod-01.",
        "ja": "Alex Wilber さんの web-prod-01 へのアクセス申請に対する田中 一郎 さんの承認が反映されたか、確認できません。",
    }
    for locale, text in texts.items():
        for detail in ("no_answer", "not_shown"):
            view = note(kind, who="田中 一郎", action=Verdict.APPROVE, detail=detail)
            assert shown(card(view, locale=locale)).startswith(text)
    refused = note(NoteKind.UNDONE, who="田中 一郎", action=Verdict.REJECT, detail="aws_refused")
    assert shown(card(refused)).startswith(
        "田中 一郎’s rejection had no effect on Alex Wilber’s request for access to web-prod-01."
    )


def test_request_without_reason_and_duration_says_so() -> None:
    """An approver need not wonder whether the card left them out."""
    text = shown(card(SAMPLES["request-bare"].view)).split("\n")
    assert text[2:4] == ["batch requests access. No duration given.", "Reason: none given"]


def test_message_with_commands_begins_with_the_one_for_the_shell_and_folds_the_rest() -> None:
    """Details and the command for PowerShell each have a button. Without commands, nothing is folded."""
    made = card(direct(kind=DirectKind.APPROVED, commands=("aws x",), powershell=("aws y",)))
    assert {each["id"]: each["isVisible"] for each in nodes(made) if "id" in each} == {
        "powershell": False,
        "details": False,
    }
    (powershell,) = [each for each in nodes(made) if each.get("id") == "powershell"]
    assert ("aws y" in shown(powershell), "aws x" in shown(powershell)) == (True, False)
    toggles = {each["title"]: each["targetElements"] for each in of_type(made, "Action.ToggleVisibility")}
    assert toggles == {"Windows (PowerShell)": ["powershell"], "Details": ["details"]}
    waiting = card(direct(kind=DirectKind.WAITING, commands=(), powershell=()))
    assert [each["isVisible"] for each in nodes(waiting) if each.get("id") == "details"] == [True]


@pytest.mark.parametrize("locale", LOCALES)
def test_note_shows_its_sentence_and_folds_what_auditors_copy(locale: str) -> None:
    """Call, execution, role and session are behind a button, each complete and without marks for wrapping."""
    facts = {
        "call": "ssm:SendAutomationSignal Approve (ap-northeast-1)",
        "execution": "4f2c8a1e-0f7d-4a53-9a3e-5d0a7b6c1e22",
        "role": "NodeAccessApprover",
        "session": "priya.nair@subsidiary.example.com",
    }
    made = card(note(NoteKind.APPROVAL, who="Priya Nair", at=AT, **facts), locale=locale)
    (audit,) = [each for each in nodes(made) if each.get("id") == "audit"]
    (button,) = of_type(made, "Action.ToggleVisibility")
    assert (audit["isVisible"], button["targetElements"]) == (False, ["audit"])
    assert set(facts.values()) <= {run["text"] for run in of_type(audit, "TextRun")}
    made["body"].remove(audit)
    assert not any(fact in shown(made) for fact in facts.values())
    assert of_type(card(note(NoteKind.ENDED)), "Action.ToggleVisibility") == []


@pytest.mark.parametrize("changes", [{"no_buttons": Refusal.UNIDENTIFIED}, {"no_approver": True}])
def test_card_that_no_one_can_decide_begins_with_why_and_what_to_do(changes: dict[str, Any]) -> None:
    """The reason comes before the node and the request, in the banner. The line for administrators follows it."""
    said = shown(card(request(**{"buttons": False, **changes}))).split("\n")
    assert "decide" in said[2]
    assert "in the AWS console" in said[2]
    assert said[3].startswith("For administrators: ")
    assert said[4].startswith("web-prod-01")


def test_card_names_account_region_and_the_conditions_of_its_channel() -> None:
    """Without a name, the account's id and the Region's code are shown alone."""
    places = "account prod-core, Region Tokyo, policy E-commerce-Manual-Approval-Policy"
    assert places in shown(card(SAMPLES["request-many-causes"].view))
    assert "Why here: no other channel matches" in shown(card(SAMPLES["request-fallback"].view))
    bare = shown(card(bare_request()))
    assert "111122223333 · Tokyo" in bare
    assert "Why here" not in bare
    message = shown(card(direct()))
    assert "prod-core (111122223333)" in message
    assert "Tokyo · ap-northeast-1" in message


def test_card_of_several_nodes_has_the_facts_of_each_under_its_name() -> None:
    """An approver sees which node is which. A node whose tags cannot be read says so."""
    text = shown(card(SAMPLES["request-several-nodes"].view))
    first, second = text.partition("Node 1\n")[2].split("\nNode 2\n")
    assert first.split("\n") == [
        "web-prod-01 (i-02999bd501754105a)",
        "Amazon Linux 2023 · 10.0.3.17",
        "Environment = production",
        "Owner = payments",
        "Service = checkout",
    ]
    assert second.split("\n")[:4] == [
        "mi-0123456789abcdef0",
        "Ubuntu 24.04 · Azure (japaneast)",
        "Tags can’t be read right now",
        "Account",
    ]


def test_unidentified_principal_is_one_text_run_with_nothing_but_marks_for_wrapping() -> None:
    """The principal, which an administrator may copy into [people], is one TextRun. The file's reader drops the marks."""
    principal = "arn:aws:sts::111122223333:assumed-role/AnOperatorOfTheWholePlatform/a.long.name@example.com"
    for changes in ({"no_buttons": Refusal.UNIDENTIFIED, "buttons": False}, {"requester_unchecked": True}):
        made = card(request(requester_principal=principal, **changes))
        assert principal in [each["text"].replace("\u200b", "") for each in of_type(made, "TextRun")]


def test_direct_message_without_commands_does_not_show_how_to_connect() -> None:
    """The section for the commands is left out, not empty."""
    assert "Connect" not in shown(card(direct(kind=DirectKind.REJECTED, commands=())))


def _heaviest(character: str) -> Iterator[tuple[View | Notice, Notice | None]]:
    long = character * 600
    lines = tuple(replace(decision(Verdict.APPROVE, long), comment=long[:COMMENT_LIMIT]) for _ in range(25))
    notice = Notice(NoticeCode.DECIDED, who="x", verdict=Verdict.REJECT, comment=long, detail=long, typed=long[:400])
    notice = replace(notice, typed_for=Verdict.REJECT)
    view = request(
        node_name=long[:256],
        requester=long,
        requester_principal=long,
        reason=long[:256],
        platform=long,
        tags=tuple((long[:128], long[:256]) for _ in range(50)),
        policy=long,
        decisions=lines,
        applying=lines[0],
        mentions=tuple(Mention(f"29:1-{number}", long) for number in range(10)),
        mentioned=tuple(Mention(f"29:2-{number}", long) for number in range(5)),
        rings=True,
        requester_unchecked=True,
        no_approver=True,
        conflicting_policies=(long,) * 10,
    )
    yield view, notice
    yield replace(view, rings=False), notice
    yield (
        replace(
            view,
            node_id="",
            nodes=(NodeFacts("mi-0123456789abcdef0", long[:256], long, long, long, view.tags, True),) * 5,
        ),
        notice,
    )
    yield replace(view, banner=Banner.FAILED), notice
    yield direct(node_name=long, reason=long, decisions=lines, conflicting_policies=(long,) * 10), None
    yield (
        note(NoteKind.REJECTION, node=long, who=long, comment=long, requester=long, call="c" * 500, role="r" * 500),
        None,
    )
    line = RequestLine("oi-f57e817742bd", long, long, Banner.WAITING, long, AT, AT + timedelta(days=7), link=LINK)
    yield PendingView((line,) * 60, AT, more=1), None


@pytest.mark.parametrize(
    ("character", "locale"),
    list(zip(["x", "あ", "🏽", "😀", '"', "\\", "{", "\u202e", "\n"], itertools.cycle(LOCALES), strict=False)),
)
def test_card_stays_below_the_size_limit(character: str, locale: str) -> None:
    """Very long texts are cut until the card is small enough. An ellipsis shows the cut.

    The languages take turns; tests/security/test_injection.py renders every card in each.
    """
    for view, notice in _heaviest(character):
        made = card(view, notice, locale)
        assert size(made) <= CARD_LIMIT
        if character in "xあ😀":
            assert "…" in shown(made)


def test_viewers_are_left_out_before_a_text_of_the_card_is_cut() -> None:
    """Sixty long ids do not fit beside a long reason. A card with room for them has them."""
    viewers = tuple(f"29:{number:0>230}" for number in range(60))
    small, heavy = request(viewers=viewers), request(viewers=viewers, reason="😀" * 500, policy="😀" * 100)
    assert card(small)["refresh"]["userIds"] == list(viewers)
    assert card(heavy)["refresh"]["userIds"] == []
    assert shown(card(heavy)) == shown(card(replace(heavy, viewers=())))


def test_times_durations_and_ids_are_complete_in_a_card_whose_other_texts_are_cut() -> None:
    """Times, durations and ids stay complete in a card whose other texts are cut."""
    heavy, _ = next(iter(_heaviest("😀")))
    text = shown(card(heavy))
    whole = [
        "Mon, Nov 23, 2026, 14:19 JST",
        "Mon, Nov 30, 14:19 JST",
        " requests access for 4 hours from approval.",
    ]
    assert all(each in text for each in [*whole, "i-02999bd501754105a", "ap-northeast-1", "on Mon, Nov 23, 14:25 JST"])


def test_reason_and_comment_of_the_longest_accepted_length_are_not_cut_in_a_card() -> None:
    """A reason as long as AWS accepts, and a comment as long as the field accepts, are shown in full."""
    reason, comment = "理" * 256, "由" * COMMENT_LIMIT
    text = shown(card(request(reason=reason, decisions=(replace(decision(Verdict.REJECT), comment=comment),))))
    assert reason in text
    assert comment in text


@pytest.mark.parametrize(("locale", "remark"), [("en", "AWS has the full text"), ("ja", "全文は AWS で確認できます")])
def test_cut_text_says_where_the_full_text_is(locale: str, remark: str) -> None:
    """A shortened reason or comment says that AWS has the full text. A text that fits has no such remark."""
    cut = request(reason="first line\n" * 20, decisions=(replace(decision(Verdict.REJECT), comment="x\n" * 20),))
    assert shown(card(cut, locale=locale)).count(remark) == 2
    assert remark not in shown(card(request(reason="line\n" * 12), locale=locale))


def test_rendering_a_view_twice_gives_equal_cards() -> None:
    """If every view is rendered twice, the two cards are equal."""
    for view, notice in every_view():
        assert card(view, notice) == card(view, notice)


def test_typed_comment_that_is_too_long_is_cut_in_the_answer() -> None:
    """Such a comment comes only from a forged click. It is cut, and the answer stays below the size limit."""
    made = card(request(), Notice(NoticeCode.BUSY, typed="😀" * 2000, typed_for=Verdict.REJECT))
    field, _ = of_type(made, "Input.Text")
    assert field["value"] == "😀" * (COMMENT_LIMIT - 1) + "…"
    assert size(made) <= CARD_LIMIT


def test_invisible_name_is_shown_as_a_replacement_character() -> None:
    """An invisible name of a requester or approver is shown as U+FFFD, never as a blank."""
    text = shown(card(request(requester="\u200b\u2060", decisions=(decision(Verdict.REJECT, "\u3164"),))))
    assert "\ufffd requests access for 4 hours from approval." in text
    assert "Rejected by \ufffd" in text


def test_notification_names_node_and_requester() -> None:
    """On a locked phone, people see from the notification which request it is about."""
    assert summary(request(), locale="en") == "Alex Wilber requests access to web-prod-01"
    assert summary(request(), locale="ja") == "Alex Wilber さんが web-prod-01 へのアクセスを申請しています"


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize(("sample", "verb"), [("decided", "revoke"), ("direct-message-waiting", "cancel")])
def test_revocation_and_cancellation_need_two_clicks(sample: str, verb: str, locale: str) -> None:
    """The first button only opens a part of the card that explains the effect. The button in that part sends the click."""
    made = card(SAMPLES[sample].view, locale=locale)
    (opener,) = of_type(made["body"], "Action.ShowCard")
    assert not {"verb", "data"} & opener.keys()
    (action,) = of_type(opener["card"], "Action.Execute")
    assert of_type(made["body"], "Action.Execute") == [action]
    assert (action["type"], action["verb"], action["style"]) == ("Action.Execute", verb, "destructive")
    assert action["title"] != opener["title"]
    assert of_type(opener["card"]["body"], "TextBlock")[0]["text"]
    fallback = action["fallback"]
    assert (fallback["type"], fallback["data"]) == ("Action.Submit", {**action["data"], "verb": verb})


def test_revoke_button_has_the_step_that_settled_the_request_and_a_comment_field() -> None:
    """The step is the level that settled the request. The Cancel button has an empty step and no comment field."""
    (revoke,), (cancel,) = (
        [each for each in of_type(card(SAMPLES[name].view), "Action.Execute") if each["verb"] in {"revoke", "cancel"}]
        for name in ("decided", "direct-message-waiting")
    )
    key = "111122223333/ap-northeast-1/oi-f57e817742bd"
    assert revoke["data"] == {"request": key, "step": "Level2"}
    assert cancel["data"] == {"request": key, "step": ""}
    refused = Notice(Refusal.NOT_APPROVER, typed="kept", typed_for=Withdrawal.REVOKE)
    (field,) = of_type(card(SAMPLES["decided"].view, refused), "Input.Text")
    assert (field["id"], field["value"], field["maxLength"]) == ("comment", "kept", COMMENT_LIMIT)
    assert of_type(card(SAMPLES["direct-message-waiting"].view), "Input.Text") == []


@pytest.mark.parametrize(("sample", "said"), [("revoked", "Revoked by"), ("cancelled", "Cancelled by")])
def test_card_of_a_revoked_or_cancelled_request_names_the_person_and_has_no_button(sample: str, said: str) -> None:
    """A card of revoked access names the person once, even with a notice about the revocation above it.

    No sentence repeats the heading.
    """
    made = card(SAMPLES[sample].view)
    assert said in shown(made)
    assert words(f"card_line.{sample}") not in shown(made)
    assert of_type(made, "Action.ShowCard") == []
    for name, line in (("already-revoked", "Revoked by"), ("notice-window-over", "Since Mon")):
        assert shown(card(SAMPLES[name].view, SAMPLES[name].notice)).count(line) == 1


@pytest.mark.parametrize(
    ("code", "aws_name", "english", "japanese"),
    [
        ("ap-northeast-1", "Asia Pacific (Tokyo)", "Tokyo", "東京"),
        ("us-east-1", None, "N. Virginia", "バージニア北部"),
        ("ca-central-1", "Canada (Central)", "Canada (Central)", "カナダ (中部)"),
        ("us-iso-east-1", "US ISO East", "US ISO East", "US ISO East"),
        ("xx-new-1", None, "xx-new-1", "xx-new-1"),
    ],
)
def test_card_names_the_place_of_the_region(code: str, aws_name: str | None, english: str, japanese: str) -> None:
    """All facts have the code as well. A Region that the language has no words for has AWS's name, if it has one."""
    for locale, place in (("en", english), ("ja", japanese)):
        text = shown(card(request(region=code, region_name=aws_name), locale=locale))
        assert f"prod-core · {place} · Amazon Linux 2023" in text
        assert {f"{place} · {code}", code} & set(text.split("\n"))


@pytest.mark.parametrize(
    ("name", "above", "below"),
    [
        ("request-paused", 1, 0),
        ("request-unknown", 1, 0),
        ("request-no-approver", 1, 0),
        ("request-no-second-approver", 1, 0),
        ("request-vote-not-shown", 1, 0),
        ("notice-not-shown", 1, 0),
        ("notice-aws-refused", 1, 0),
        ("request-elsewhere", 0, 1),
        ("request-applying", 0, 1),
        ("status", 0, 1),
        ("request-replica", 0, 0),
    ],
)
def test_card_leads_to_the_console_if_it_sends_people_there(name: str, above: int, below: int) -> None:
    """On other cards, the link is among all facts. A copy of a request has none: another account decides."""
    made = card(SAMPLES[name].view, SAMPLES[name].notice)
    (facts,) = [each for each in nodes(made) if each.get("id") == "facts"]
    found = [sum("aws.amazon.com" in each["url"] for each in of_type(part, "Action.OpenUrl")) for part in (made, facts)]
    assert (found[0] - found[1], found[1]) == (above, below)


@pytest.mark.parametrize(
    ("name", "verbs"),
    [
        ("request-queued", ["withdraw", "approve", "reject", "approve", "reviewing"]),
        ("request-no-second-approver", ["reject", "reviewing"]),
        ("request-no-approver", []),
    ],
)
def test_buttons_of_a_card_begin_with_the_one_that_people_need(name: str, verbs: list[str]) -> None:
    """A person can withdraw a vote that waits, and no card has a button that no one may use."""
    made = card(SAMPLES[name].view)
    assert [each["verb"] for each in of_type(made["body"], "Action.Execute")] == verbs
    if "approve" not in verbs:
        assert of_type(made["body"], "ActionSet")[0]["actions"][0]["title"] == "Open AWS console"


def test_people_who_should_decide_are_named_above_the_buttons() -> None:
    """On the post and after each update."""
    for name in ("request-mentions", "request-updated"):
        written = json.dumps(card(SAMPLES[name].view))
        assert written.index("Please decide: ") < written.index('"approve"')


@pytest.mark.parametrize("name", ["request-queued", "request-applying", "request-unknown"])
def test_only_a_waiting_card_says_in_its_heading_when_it_expires(name: str) -> None:
    """A decision that is on its way does not expire. The deadline is among all facts."""
    heading, *rest = shown(card(SAMPLES[name].view)).split("\n")
    assert ("expires" in heading, "Expires" in rest) == (False, True)


def test_listed_request_has_its_state_once() -> None:
    """The line on the decision says "Approved". A state without such a line is shown."""
    text = shown(card(SAMPLES["my-requests"].view)).split("\n")
    assert [each.split(" by ")[0] for each in text if each.startswith(("Approved", "Expired"))] == [
        "Approved",
        "Expired",
    ]
    assert "Requested Mon, Nov 23, 2026, 14:19 JST" in text


def test_short_message_has_only_the_decision_that_it_notifies_about() -> None:
    """It does not change, so it does not say that it shows the current state."""
    revoked, waiting = (shown(card(SAMPLES[f"direct-short-{name}"].view)) for name in ("revoked", "waiting"))
    assert ("Revoked by" in revoked, "Approved by" in revoked) == (True, False)
    assert "This message always" not in waiting
    assert "This message always" in shown(card(SAMPLES["direct-message-waiting"].view))


def test_name_of_a_person_who_ends_sessions_is_cut_like_any_other_name() -> None:
    """It is on one line, and has marks for wrapping."""
    line = EndingLine(who="x\n" + "x" * 500, at=AT, ended=2)
    text = shown(card(request(banner=Banner.APPROVED, buttons=False, ending=line)))
    assert "2 sessions ended by x x" in text
    assert "x" * 200 not in text


def test_requester_reads_who_is_looking_at_the_request_in_a_sentence() -> None:
    """Several people are listed as the language does."""
    message = SAMPLES["direct-message-level-passed-reviewing"].view
    assert "佐藤 花子 and Maria Lopez are looking at it now." in shown(card(message))
    assert "現在、佐藤 花子 さん、Maria Lopez さんが確認しています。" in shown(card(message, locale="ja"))
