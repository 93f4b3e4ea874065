"""Holds the configuration that is active now. A reload replaces it while the services run."""

from dataclasses import dataclass

from bot.domain.configuration import Configuration


@dataclass(slots=True)
class CurrentConfiguration:
    """One object that all services share. They read `value` for each check, so a reload affects all later checks."""

    value: Configuration
    tenant_id: str  # the Entra tenant whose people may decide
    revision: int = 0  # counts the replacements, so that an outdated check is recognized

    def replace(self, value: Configuration) -> None:
        """Replace the whole configuration, and count the replacement."""
        self.value = value
        self.revision += 1
