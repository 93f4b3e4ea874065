"""Mutants that no test can notice, with the reason: they behave as the original does."""

from typing import Final

_ONE_CHARACTER: Final = "a single character is compared, so a longer text beyond the bound makes no difference"
_HAN: Final = (
    r'han = "\u3400" <= character <= "\u9fff" or "\U00020000" <= character <= "\U0003ffff" or character in "々〆〇"'
)
EQUIVALENT: Final[dict[tuple[str, str, str], str]] = {
    (
        "bot/domain/identity.py",
        "complete: bool = True  # False: a roster could not be read, so people may be missing",
        "True -> False",
    ): "only callers that do not ask whether a later read may find somebody leave it out",
    (
        "bot/domain/rules/permission.py",
        "if level is None or not has_votable_approver(level):",
        "level is None or not has_votable_approver(level) -> not has_votable_approver(level)",
    ): "a step that the request does not have is refused before",
    ("bot/domain/shown/mentions.py", _HAN, r"'\U0003ffff' -> '\U0003ffff!'"): _ONE_CHARACTER,
    ("bot/domain/shown/mentions.py", _HAN, "'\u9fff' -> '\u9fff!'"): _ONE_CHARACTER,
    (
        "bot/service/checks/running.py",
        "return check.needs is None or known.get(check.needs) is None",
        "check.needs is None or known.get(check.needs) is None -> known.get(check.needs) is None",
    ): "no check has the name None, so no problem of it is known",
}
"""By the path, the line of code, and "before -> after"."""
