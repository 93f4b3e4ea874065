"""Brings names and the text that mentions them into one form, so that `@佐藤花子` finds 佐藤 花子.

Letter case, full width and invisible characters make no difference, nor do blanks in Japanese names.
`bot.domain.shown.mentions` has the rules on who is mentioned.
"""

from bot.text.names import caseless


def mention_key(name: str) -> str:
    """Return a name in the form in which mentions are compared."""
    plain = " ".join(line_form(name).split())
    if plain.isascii():
        return plain
    key, apart = "", False
    for character in plain:
        if character != " ":
            key = with_character(key, character, apart=apart)
        apart = character == " "
    return key


def with_character(key: str, character: str, *, apart: bool) -> str:
    """Add a character, with the blank before it if `apart`. Blanks between Japanese characters are dropped."""
    tied = not apart or not key or (japanese_script(key[-1]) and japanese_script(character))
    return f"{key}{character}" if tied else f"{key} {character}"


def line_form(text: str) -> str:
    """Return the text without differences of case and full width (＠ too) and without invisible characters.

    Blanks within a line become spaces.
    """
    if text.isascii():  # short cut for most names and all addresses of a large roster
        return caseless(text).replace("\t", " ")
    return "".join(
        " " if character.isspace() and character not in "\r\n" else character for character in caseless(text)
    )


def is_word(character: str) -> bool:
    """True for a letter, a digit or an underscore."""
    return character.isalnum() or character == "_"


def japanese_script(character: str) -> str | None:
    """Return the Japanese script of a character; None for any other script."""
    if "\u3041" <= character <= "\u309f":
        return "hiragana"
    if "\u30a1" <= character <= "\u30ff":
        return "katakana"
    han = "\u3400" <= character <= "\u9fff" or "\U00020000" <= character <= "\U0003ffff" or character in "々〆〇"
    return "han" if han else None
