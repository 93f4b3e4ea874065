"""How the bot proves to Microsoft Entra which app it is: the form fields of a token request, from a secret at hand.

Owns the shape of a proof and the plain secret. The other proofs are in stored_secret and federation.
"""

from collections.abc import Mapping
from typing import Protocol

from pydantic import SecretStr


class ClientAuthentication(Protocol):
    """What a token request carries besides the app's id."""

    async def form(self) -> Mapping[str, str]:
        """Return the fields, for one request and for nothing else. Raises ConnectorUnavailable."""

    async def renewed(self) -> bool:
        """Hear that Entra refused what was sent; tell whether there is something else to send now. Never raises."""


class StaticSecret:
    """The client secret that stands in the settings, for as long as the process lives."""

    def __init__(self, secret: SecretStr) -> None:
        self._secret = secret

    async def form(self) -> Mapping[str, str]:
        """Return the field."""
        return {"client_secret": self._secret.get_secret_value()}

    async def renewed(self) -> bool:
        """Tell that there is no other."""
        return False
