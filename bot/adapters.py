"""Builds the adapters to the outside from the settings, for the process (`app.py`) and for `doctor`."""

from typing import assert_never

from bot.aws.assembly import AwsSide
from bot.config.file_source import FileSource
from bot.config.settings import Settings
from bot.domain.configuration import Configuration
from bot.ports.clock import Clock
from bot.ports.configuration import ConfigurationSource, ObjectPlace
from bot.teams.assembly import MicrosoftSide
from bot.teams.login.client_authentication import (
    FEDERATION_AUDIENCE,
    ClientAuthentication,
    Federation,
    RotatingSecret,
    StaticSecret,
)
from bot.teams.login.managed_identity import IMDS, IdentityAddress
from bot.telemetry import Telemetry


def aws_side(settings: Settings, configuration: Configuration, *, clock: Clock, telemetry: Telemetry) -> AwsSide:
    """Return AWS's side for the accounts of the configuration. Use `async with`."""
    return AwsSide(
        region=settings.region,
        accounts=configuration.accounts,
        queue_url=settings.queue_url,
        external_id=configuration.identity.external_id,
        replicas=settings.replicas,
        clock=clock,
        telemetry=telemetry,
    )


def configuration_source(settings: Settings, aws: AwsSide) -> ConfigurationSource:
    """Return the place from which the configuration is read again."""
    match settings.config:
        case ObjectPlace() as place:
            return aws.configuration_object(place)
        case path:
            return FileSource(path)


def microsoft_side(settings: Settings, aws: AwsSide, *, clock: Clock) -> MicrosoftSide:
    """Return the settings of Microsoft's side. `aws` is the source of a credential that comes from AWS."""
    return MicrosoftSide(
        app_id=settings.app_id,
        credential=_credential(settings, aws, clock),
        tenant_id=settings.tenant_id,
        service_url=settings.service_url,
        service_hosts=settings.service_hosts,
        openid_metadata_url=settings.openid_metadata_url,
        login_authority=settings.login_authority,
        graph_url=settings.graph_url,
    )


def _credential(settings: Settings, aws: AwsSide, clock: Clock) -> ClientAuthentication | IdentityAddress:
    match settings.app_credential:
        case "aws-federation":
            return Federation(aws.web_identity(FEDERATION_AUDIENCE))
        case "managed-identity":
            return IdentityAddress(settings.identity_endpoint or IMDS, settings.identity_header)
        case "secret" if settings.app_secret_arn:
            return RotatingSecret(aws.client_secret(settings.app_secret_arn), clock=clock)
        case "secret":
            return StaticSecret(settings.app_secret)
    assert_never(settings.app_credential)
