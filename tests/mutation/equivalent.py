"""Mutants that no test can notice, with the reason: they behave as the original does."""

from typing import Final

EQUIVALENT: Final[dict[str, str]] = {}  # "bot/domain/claims.py: before -> after"
