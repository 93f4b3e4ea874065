"""Settings: the only reader of the environment and, through bot.config.file, of node-access.toml.

Names have the prefix NODE_ACCESS_. Only bot.app and bot.cli read settings; all other code takes arguments.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    WrapValidator,
)
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from bot.config.errors import ConfigurationProblems, Location, explain, hint, shown
from bot.config.file import load_configuration
from bot.config.types import (
    REGION_FORM,
    AppId,
    IdentityEndpoint,
    MicrosoftAddress,
    Region,
    SecretArn,
    TenantId,
    Visible,
)
from bot.domain.configuration import Configuration
from bot.ports.configuration import ObjectPlace
from bot.teams.login.clouds import PUBLIC, US_GOVERNMENT, Cloud, CloudNotSupported, cloud_at, cloud_of
from bot.teams.net.addresses import AddressRefused, ServiceHosts, is_loopback

PREFIX = "NODE_ACCESS_"
SERVICE_LINKS = "NODE_ACCESS_BOT_"  # Kubernetes sets such variables for a service named node-access-bot
# The connector's hosts: worldwide and the two government clouds of the United States.
# https://learn.microsoft.com/microsoftteams/platform/bots/how-to/conversations/send-proactive-messages
SERVICE_HOSTS = (
    "smba.trafficmanager.net",
    "smba.infra.gcc.teams.microsoft.com",
    "smba.infra.gov.teams.microsoft.us",
    "smba.infra.dod.teams.microsoft.us",
)


# Settings whose names come from AWS or Azure: they have no prefix.
_FOREIGN_NAMES = {
    "region": "AWS_REGION",
    "identity_endpoint": "IDENTITY_ENDPOINT",
    "identity_header": "IDENTITY_HEADER",
}


# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
_TABLE = re.compile(r"dynamodb:[A-Za-z0-9_.-]{3,255}", re.ASCII)


def _store(text: str) -> str:
    if text.startswith("dynamodb:"):
        if not _TABLE.fullmatch(text):
            raise ValueError("write dynamodb:<table>, its name: 3 to 255 letters, digits and _.-")
    elif not text.startswith("sqlite:") or not text.removeprefix("sqlite:").strip() or "\0" in text:
        raise ValueError("write sqlite:<path> or dynamodb:<table>")
    return text


def _store_region(region: str | None, info: ValidationInfo) -> str | None:
    if region is None and str(info.data.get("store")).startswith("dynamodb:"):
        raise ValueError("missing: the AWS Region of the table; or AWS_DEFAULT_REGION")
    return region


def _queue(text: str, info: ValidationInfo) -> str:
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        usable = parts.scheme in {"https", "http"} and host and len(parts.path) > 1
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("write the URL of the queue, like https://sqs.<Region>.amazonaws.com/<account>/<queue>")
    _same_region(host, info.data.get("region"))
    return text


def _same_region(host: str, region: str | None) -> None:
    """Raise ValueError for a queue of another Region: the bot calls SQS in its own Region.

    One label of a queue's host is its Region.
    """
    for other in host.split("."):
        if region and other != region and re.fullmatch(REGION_FORM, other, re.ASCII):
            raise ValueError(
                f"the queue is in {other}, the bot in {region}: create a queue in the bot's Region, or set AWS_REGION"
                " to the Region of the queue"
            )


# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|arn:", re.ASCII)  # no path; a drive has 1 letter
LONGEST_KEY = 1024  # bytes of an object's key in S3


def _place(given: object) -> object:
    """Return an object in S3 for s3://<bucket>/<key>; any other text is the path of a file."""
    if not isinstance(given, str) or not _ADDRESS.match(given):
        return given
    bucket, _, key = given.removeprefix("s3://").partition("/")
    if not given.startswith("s3://") or not _BUCKET.fullmatch(bucket):
        raise ValueError("write the path of a file, or s3://<bucket>/<key>")
    if not key or key.endswith("/") or not key.isprintable() or len(key.encode()) > LONGEST_KEY:
        raise ValueError("write s3://<bucket>/<key>: the key of the object is missing, or is that of a folder")
    return ObjectPlace(bucket, key)


def _listed(text: object) -> object:
    return tuple(each.strip() for each in text.split(",") if each.strip()) if isinstance(text, str) else text


def _secret_arn(arn: str | None, info: ValidationInfo) -> str | None:
    if arn is not None:
        _refuse_needless_secret(info)
    return arn


def _secret(secret: SecretStr, info: ValidationInfo) -> SecretStr:
    given = bool(secret.get_secret_value().strip())
    if given:
        _refuse_needless_secret(info)
    if info.data.get("app_credential") != "secret" or "app_secret_arn" not in info.data:
        return secret
    if given and info.data["app_secret_arn"]:
        raise ValueError(f"set it or {PREFIX}APP_SECRET_ARN, not both")
    if not given and not info.data["app_secret_arn"]:
        raise ValueError(f"missing: the client secret of the app; or {PREFIX}APP_SECRET_ARN")
    return secret


def _refuse_needless_secret(info: ValidationInfo) -> None:
    credential = info.data.get("app_credential", "secret")
    if credential != "secret":
        raise ValueError(f"{credential} needs no secret: leave it out")


def _of_azure(value: object, info: ValidationInfo) -> object:
    """Return the value of a variable that Azure sets on every host; None unless APP_CREDENTIAL is managed-identity."""
    return value if info.data.get("app_credential") == "managed-identity" else None


def _identity_header(header: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
    if "identity_endpoint" in info.data and (header is None) != (info.data["identity_endpoint"] is None):
        raise ValueError("App Service and Container Apps set it with IDENTITY_ENDPOINT: both, or none")
    return header


def _service(address: str, info: ValidationInfo) -> str:
    try:
        ServiceHosts(info.data.get("service_hosts", ())).base(address)
    except AddressRefused as error:
        if "service_hosts" in info.data:
            raise ValueError(f"{error}: its host must be in {PREFIX}SERVICE_HOSTS, and it has no query") from error
    return address


def _metadata(address: str, info: ValidationInfo) -> str:
    """Return the address of the signing keys' metadata, which selects Microsoft's cloud.

    Raises ValueError for an address that belongs to a cloud but does not select it, for a cloud that is not supported,
    and for one in which the credential does not work.
    """
    if _cloud(address) is US_GOVERNMENT and cloud_of(address) is not US_GOVERNMENT:
        raise ValueError(f"for the {US_GOVERNMENT.name}, write {GOVERNMENT_METADATA}")
    if cloud_of(address) is not PUBLIC and info.data.get("app_credential") == "aws-federation":
        raise ValueError(
            f"selects the {cloud_of(address).name}, where the credential aws-federation does not work;"
            f" set {PREFIX}APP_CREDENTIAL to secret or managed-identity"
        )
    return address


def _same_cloud(address: str, info: ValidationInfo) -> str:
    if "openid_metadata_url" in info.data:
        selected, found = cloud_of(info.data["openid_metadata_url"]), _cloud(address)
        if found and found is not selected:
            otherwise = f"{PREFIX}OPENID_METADATA_URL selects the {selected.name}"
            raise ValueError(f"an address of the {found.name}, but {otherwise}; {_ALL_THREE}")
    return address


def _graph(address: str, info: ValidationInfo) -> str:
    """Return the origin of Microsoft Graph. The default may stay in every cloud: without a group, it is not called."""
    parts = urlsplit(address)
    try:
        if not is_loopback(parts.hostname or ""):
            ServiceHosts(GRAPH_HOSTS).base(address)
    except AddressRefused:
        raise ValueError(f"write https:// and one of {', '.join(GRAPH_HOSTS)}") from None
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"write the origin alone, like {GRAPH_URL}")
    if address != GRAPH_URL and "openid_metadata_url" in info.data:
        selected, found = cloud_of(info.data["openid_metadata_url"]), _cloud(address)
        if found and found is not selected:
            otherwise = f"{PREFIX}OPENID_METADATA_URL selects the {selected.name}"
            raise ValueError(f"an address of the {found.name}, but {otherwise}")
    return address.rstrip("/")


def _cloud(address: str) -> Cloud | None:
    try:
        return cloud_at(address)
    except CloudNotSupported:
        raise ValueError("an address of a Microsoft cloud that the bot does not support") from None


def _metrics_port(port: int, info: ValidationInfo) -> int:
    hosts = {info.data.get("host"), info.data.get("metrics_host")}
    if port and port == info.data.get("port") and (len(hosts) == 1 or hosts & _EVERY_ADDRESS):
        raise ValueError(f"the same as {PREFIX}PORT; set one of them to another port")
    return port


def _if_valid(value: object, validate: Callable[[object], object]) -> object:
    try:
        return validate(value)
    except ValueError:
        return None


Place = Annotated[Path | ObjectPlace, NoDecode, BeforeValidator(_place)]
_Lower = BeforeValidator(lambda text: text.lower() if isinstance(text, str) else text)
Port = Annotated[int, Field(ge=0, le=65535)]
GOVERNMENT_METADATA = "https://login.botframework.azure.us/v1/.well-known/openidconfiguration"
GRAPH_URL = "https://graph.microsoft.com"
# worldwide and the two government clouds of the United States
# https://learn.microsoft.com/graph/deployments
GRAPH_HOSTS = ("graph.microsoft.com", "graph.microsoft.us", "dod-graph.microsoft.us")
_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104  (hosts that take the port on every address)
_ALL_THREE = f"set all three: {PREFIX}OPENID_METADATA_URL, {PREFIX}SERVICE_URL and {PREFIX}LOGIN_AUTHORITY"


_REGION_NAMES = AliasChoices("AWS_REGION", "AWS_DEFAULT_REGION")


class _ReadSettings(BaseSettings):
    """Settings that every command reads: where the rows are stored."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        validate_default=True,
        populate_by_name=True,
    )

    store: Annotated[str, AfterValidator(_store)] = Field(
        "sqlite:node-access.db", description="where the rows are stored"
    )

    @property
    def sqlite_path(self) -> Path | None:
        """Path of the SQLite store; None for other stores."""
        return None if self.dynamodb_table else Path(self.store.removeprefix("sqlite:"))

    @property
    def dynamodb_table(self) -> str | None:
        """Table name of the DynamoDB store; None for other stores."""
        kind, _, name = self.store.partition(":")
        return name if kind == "dynamodb" else None

    @classmethod
    def settings_customise_sources(  # pydantic defines the five parameters; only one is used
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments only: the environment is passed in by `load`, so tests control it."""
        return (init_settings,)


class StoreSettings(_ReadSettings):
    """The settings of commands that need only the store."""

    region: Annotated[Region | None, AfterValidator(_store_region)] = Field(None, validation_alias=_REGION_NAMES)


class Settings(_ReadSettings):
    """All settings of the environment. `Settings(…)` takes them as arguments and does not read the environment."""

    app_id: AppId = Field(description="the application (client) id of the Azure Bot")
    app_credential: Literal["secret", "aws-federation", "managed-identity"] = "secret"
    app_secret_arn: Annotated[SecretArn | None, AfterValidator(_secret_arn)] = None
    app_secret: Annotated[SecretStr, AfterValidator(_secret)] = SecretStr("")
    tenant_id: TenantId = Field(description="the id of the Microsoft Entra tenant")
    config: Place = Path("node-access.toml")
    host: Visible = "0.0.0.0"  # noqa: S104  (a container's port is published on purpose)
    port: Port = 3978
    metrics_host: Visible = "127.0.0.1"
    metrics_port: Annotated[Port, AfterValidator(_metrics_port)] = 9464
    sweep_seconds: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = 60
    replicas: Annotated[int, Field(ge=1, le=100)] = 1
    service_hosts: Annotated[tuple[Visible, ...], NoDecode, BeforeValidator(_listed), Field(min_length=1)] = (
        SERVICE_HOSTS
    )
    openid_metadata_url: Annotated[MicrosoftAddress, AfterValidator(_metadata)] = (
        "https://login.botframework.com/v1/.well-known/openidconfiguration"
    )
    service_url: Annotated[MicrosoftAddress, AfterValidator(_service), AfterValidator(_same_cloud)] = (
        "https://smba.trafficmanager.net/teams/"
    )
    login_authority: Annotated[MicrosoftAddress, AfterValidator(_same_cloud)] = "https://login.microsoftonline.com"
    graph_url: Annotated[MicrosoftAddress, AfterValidator(_graph)] = GRAPH_URL
    log_format: Annotated[Literal["json", "console"], _Lower] = "json"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _Lower] = "info"
    region: Region = Field(
        validation_alias=_REGION_NAMES,
        description="the AWS Region; or AWS_DEFAULT_REGION",
    )
    queue_url: Annotated[str, AfterValidator(_queue)] | None = None
    identity_endpoint: Annotated[IdentityEndpoint | None, BeforeValidator(_of_azure)] = Field(
        None, validation_alias=_FOREIGN_NAMES["identity_endpoint"]
    )
    identity_header: Annotated[SecretStr | None, BeforeValidator(_of_azure), AfterValidator(_identity_header)] = Field(
        None, validation_alias=_FOREIGN_NAMES["identity_header"]
    )


def _default_of(setting: str) -> Any:
    return Settings.model_fields[setting].default


class AddressSettings(_ReadSettings):
    """The settings of the command that calls a running bot: the addresses on which the bot listens."""

    host: Visible = _default_of("host")
    port: Port = _default_of("port")
    metrics_host: Visible = _default_of("metrics_host")
    metrics_port: Port = _default_of("metrics_port")


class PlaceSettings(_ReadSettings):
    """The settings that say where node-access.toml is, for a report of its problems beside those of other settings."""

    config: Place = _default_of("config")
    region: Annotated[Region | None, WrapValidator(_if_valid)] = Field(None, validation_alias=_REGION_NAMES)


_Chosen = TypeVar("_Chosen", bound=_ReadSettings)
Look = Callable[[ObjectPlace, str], Configuration]
"""Reads a configuration in S3 once, from a Region. Raises ConfigurationProblems."""


def load(
    environ: Mapping[str, str] | None = None, *, look: Look | None = None
) -> tuple[Settings, Configuration | ObjectPlace]:
    """Read the environment and node-access.toml. Raises ConfigurationProblems with all problems of both.

    A configuration in S3 is not read, because only a running program can wait until AWS answers: its place is returned.
    If the settings have problems, so that nothing will run, `look` finds those of the configuration.
    """
    given = os.environ if environ is None else environ
    problems: list[str] = []
    settings = _collected(problems, lambda: _read(Settings, given))
    configuration = _collected(problems, lambda: _configuration(settings, given, look))
    if settings is None or configuration is None:
        raise ConfigurationProblems(problems)
    return settings, configuration


def _configuration(
    settings: Settings | None, given: Mapping[str, str], look: Look | None
) -> Configuration | ObjectPlace | None:
    at = settings or _where(given)
    if at is None:
        return None
    match at.config:
        case Path() as path:
            return load_configuration(path)
        case ObjectPlace() as place if look and at.region and settings is None:
            return look(place, at.region)
        case place:
            return place


def _where(given: Mapping[str, str]) -> PlaceSettings | None:
    """Return the settings of the place, if those are valid."""
    try:
        return PlaceSettings(**_values(PlaceSettings, given))
    except ValidationError:
        return None


def load_store(environ: Mapping[str, str] | None = None) -> StoreSettings:
    """Read only the store's settings. Raises ConfigurationProblems."""
    return _read(StoreSettings, os.environ if environ is None else environ)


def load_addresses(environ: Mapping[str, str] | None = None) -> AddressSettings:
    """Read only the addresses on which the bot listens. Raises ConfigurationProblems."""
    return _read(AddressSettings, os.environ if environ is None else environ)


_Read = TypeVar("_Read")


def _collected(problems: list[str], read: Callable[[], _Read]) -> _Read | None:
    try:
        return read()
    except ConfigurationProblems as found:
        problems.extend(found.problems)
        return None


def _read(kind: type[_Chosen], environ: Mapping[str, str]) -> _Chosen:
    unknown = _unknown(environ)
    try:
        settings = kind(**_values(kind, environ))
    except ValidationError as error:
        found = explain(error, place=_name, known=lambda _: [], missing=_missing)
        raise ConfigurationProblems([*found, *unknown]) from None
    if unknown:
        raise ConfigurationProblems(unknown)
    return settings


def _values(kind: type[_ReadSettings], environ: Mapping[str, str]) -> dict[str, Any]:
    source = EnvSettingsSource(kind)
    source.env_vars = {name.lower(): value for name, value in environ.items() if value.strip()}
    return source()


def _unknown(environ: Mapping[str, str]) -> list[str]:
    known = [_name((field,)) for field in Settings.model_fields if field not in _FOREIGN_NAMES]
    ours = (name for name in environ if name.startswith(PREFIX) and not name.startswith(SERVICE_LINKS))
    meant = [*known, *_FOREIGN_NAMES.values()]
    return [f"{shown(name)}: unknown{hint(name, meant)}" for name in sorted(set(ours) - set(known))]


def _missing(location: Location) -> str:
    field = "region" if location[0] == "AWS_REGION" else str(location[0])
    return f"missing: {Settings.model_fields[field].description}"


def _name(location: Location) -> str:
    first = _FOREIGN_NAMES.get(str(location[0]), str(location[0]))  # the location of a default has no alias
    return first if first in _FOREIGN_NAMES.values() else f"{PREFIX}{first.upper()}"
