"""What the app is for Teams: the manifest, and its texts in each language.

https://learn.microsoft.com/microsoft-365/extensibility/schema/
"""

from dataclasses import dataclass
from typing import Any, Final

from bot.domain.shown.replies.commands import BotCommand, commands_of
from bot.rendering.command_names import COMMAND_NAMES, command_line
from bot.rendering.i18n import DEFAULT_LOCALE, LOCALES, Localizer
from bot.rendering.messages import command_help

Json = dict[str, Any]

SCHEMA: Final = "1.25"  # the oldest that has supportsChannelFeatures; tenants accept a new schema only some time later
SCHEMA_FILES: Final = f"https://developer.microsoft.com/en-us/json-schemas/teams/v{SCHEMA}"
# The manifest itself is in DEFAULT_LOCALE.
LANGUAGE_FILES: Final = {locale: f"{locale}.json" for locale in LOCALES if locale != DEFAULT_LOCALE}
COLOR, OUTLINE = "color.png", "outline.png"
ICON_SIZES: Final = {"color": 192, "outline": 32}  # pixels, width and height
SCOPES: Final = ("team", "personal")  # the bot serves no group chats
CHANNEL_FEATURES: Final = "tier1"  # the app may be added to shared and private channels
# Without it, Teams refuses a channel's roster and the events of its members in shared and private channels.
# https://learn.microsoft.com/microsoftteams/platform/build-apps-for-shared-private-channels
PERMISSION: Final = {"name": "ChannelMember.Read.Group", "type": "Application"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AppDetails:
    """What an organization decides about its app. `website`, `privacy` and `terms` are addresses of its own pages.

    `registration_id` is the app registration that gets PERMISSION: the bot's own, unless it is a managed identity.
    """

    app_id: str
    registration_id: str
    name: str
    developer: str
    website: str
    privacy: str
    terms: str
    accent: str  # a color as #rrggbb


def manifest(details: AppDetails, *, version: str) -> Json:
    """Return manifest.json, in English."""
    say = Localizer(DEFAULT_LOCALE, "UTC")
    return {
        "$schema": f"{SCHEMA_FILES}/MicrosoftTeams.schema.json",
        "manifestVersion": SCHEMA,
        "version": version,
        "id": details.app_id,
        "developer": {
            "name": details.developer,
            "websiteUrl": details.website,
            "privacyUrl": details.privacy,
            "termsOfUseUrl": details.terms,
        },
        "name": {"short": details.name},
        "description": {"short": say.text("manifest.short"), "full": say.text("manifest.full")},
        "icons": {"color": COLOR, "outline": OUTLINE},
        "accentColor": details.accent,
        "localizationInfo": {
            "defaultLanguageTag": DEFAULT_LOCALE,
            "additionalLanguages": [{"languageTag": tag, "file": name} for tag, name in LANGUAGE_FILES.items()],
        },
        "bots": [
            {
                "botId": details.app_id,
                "scopes": list(SCOPES),
                "isNotificationOnly": False,
                "supportsFiles": False,
                "commandLists": [{"scopes": [scope], "commands": _commands(scope, say)} for scope in SCOPES],
            }
        ],
        "supportsChannelFeatures": CHANNEL_FEATURES,
        # Teams requires the id for a permission, and any text as the resource.
        "webApplicationInfo": {"id": details.registration_id, "resource": f"api://{details.registration_id}"},
        "authorization": {"permissions": {"resourceSpecific": [dict(PERMISSION)]}},
    }


def translation(details: AppDetails, locale: str) -> Json:
    """Return the texts of another language by their place in the manifest."""
    say = Localizer(locale, "UTC")
    commands = {
        f"bots[0].commandLists[{place}].commands[{row}].{key}": text
        for place, scope in enumerate(SCOPES)
        for row, command in enumerate(_commands(scope, say))
        for key, text in command.items()
    }
    return {
        "$schema": f"{SCHEMA_FILES}/MicrosoftTeams.Localization.schema.json",
        "name.short": details.name,
        "description.short": say.text("manifest.short"),
        "description.full": say.text("manifest.full"),
        **commands,
    }


def _commands(scope: str, say: Localizer) -> list[dict[str, str]]:
    """Return the commands that Teams offers in this scope while a person writes to the bot."""
    personal = scope == "personal"
    return [
        {"title": COMMAND_NAMES[say.locale][command], "description": _description(command, say, personal=personal)}
        for command in commands_of(personal=personal)
    ]


def _description(command: BotCommand, say: Localizer, *, personal: bool) -> str:
    """Return what a command does, as on the help card, with an example if the command needs an argument.

    Teams inserts only the title into the message.
    """
    does, example = command_help(command, say, personal=personal), command_line(command, locale=say.locale)
    if example == COMMAND_NAMES[say.locale][command]:
        return does
    return say.text("manifest.with_example", does=does, example=example)
