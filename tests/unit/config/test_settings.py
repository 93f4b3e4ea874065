"""Tests for bot.config.settings: the environment becomes settings, or all its problems are reported."""

import os
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config.errors import ConfigurationProblems
from bot.config.settings import PREFIX, SERVICE_HOSTS, Settings, load, load_store
from bot.domain.configuration import Configuration
from bot.ports.configuration import ObjectPlace

GUID = "22222222-2222-4222-8222-222222222222"
SECRET = "a-client-secret-that-no-message-repeats"
CHANNEL = '[[channels]]\nname = "production"\nconversation = "19:approvers@thread.tacv2"\n'
ARGUMENTS: dict[str, Any] = {"app_id": GUID, "app_secret": SECRET, "tenant_id": GUID, "region": "us-east-1"}
NAMES = sorted(f"{PREFIX}{field.upper()}" for field in Settings.model_fields)


@pytest.fixture
def complete(tmp_path: Path) -> dict[str, str]:
    """Return the smallest valid environment."""
    file = tmp_path / "node-access.toml"
    file.write_text(CHANNEL)
    return {
        "NODE_ACCESS_APP_ID": GUID,
        "NODE_ACCESS_APP_SECRET": SECRET,
        "NODE_ACCESS_TENANT_ID": GUID,
        "NODE_ACCESS_CONFIG": str(file),
        "AWS_REGION": "ap-northeast-1",
    }


def problems_of(environ: dict[str, str]) -> tuple[str, ...]:
    """Return the problems of an environment."""
    with pytest.raises(ConfigurationProblems) as caught:
        load(environ)
    return caught.value.problems


def test_smallest_environment_gives_the_expected_defaults(complete: dict[str, str]) -> None:
    """All other settings have their documented defaults."""
    settings, configuration = load(complete)
    assert (settings.host, settings.port, settings.metrics_host, settings.metrics_port) == (
        "0.0.0.0",
        3978,
        "127.0.0.1",
        9464,
    )
    assert (settings.queue_url, settings.sweep_seconds, settings.sqlite_path) == (None, 60, Path("node-access.db"))
    assert (settings.log_format, settings.log_level, settings.replicas) == ("json", "info", 1)
    assert (settings.app_credential, settings.app_secret_arn) == ("secret", None)
    assert settings.service_hosts == SERVICE_HOSTS
    assert settings.service_url == "https://smba.trafficmanager.net/teams/"
    assert settings.openid_metadata_url == "https://login.botframework.com/v1/.well-known/openidconfiguration"
    assert settings.login_authority == "https://login.microsoftonline.com"
    assert settings.app_secret.get_secret_value() == SECRET
    assert isinstance(configuration, Configuration)
    assert [channel.name for channel in configuration.channels] == ["production"]


def test_aws_region_overrides_the_default_region(complete: dict[str, str]) -> None:
    """If AWS_REGION is missing, AWS_DEFAULT_REGION is used."""
    assert load(complete | {"AWS_DEFAULT_REGION": "us-east-1"})[0].region == "ap-northeast-1"
    del complete["AWS_REGION"]
    assert load(complete | {"AWS_DEFAULT_REGION": "us-east-1"})[0].region == "us-east-1"


def test_documented_values_of_settings_are_accepted(complete: dict[str, str]) -> None:
    """All these values are accepted together. Path, hosts, numbers and log level are converted."""
    given = {
        "APP_CREDENTIAL": "secret",
        "QUEUE_URL": "http://127.0.0.1:4566/111122223333/node-access",
        "STORE": "sqlite:/var/lib/node-access/rows.db",
        "HOST": "::1",
        "PORT": "0",
        "METRICS_HOST": "::1",
        "METRICS_PORT": "0",
        "SWEEP_SECONDS": "0.5",
        "REPLICAS": "3",
        "SERVICE_HOSTS": "127.0.0.1, *.example.com",
        "SERVICE_URL": "http://127.0.0.1:56150/_connector",
        "OPENID_METADATA_URL": "http://127.0.0.1:8080/keys",
        "LOGIN_AUTHORITY": "http://localhost:8080",
        "GRAPH_URL": "http://127.0.0.1:8080",
        "LOG_FORMAT": "console",
        "LOG_LEVEL": "DEBUG",
    }
    settings, _ = load(complete | {f"{PREFIX}{name}": value for name, value in given.items()})
    assert settings.sqlite_path == Path("/var/lib/node-access/rows.db")
    assert settings.service_hosts == ("127.0.0.1", "*.example.com")
    assert (settings.sweep_seconds, settings.port, settings.replicas) == (0.5, 0, 3)
    assert settings.log_level == "debug"


def test_problems_of_environment_and_file_are_reported_together(tmp_path: Path) -> None:
    """One start reports all problems of the environment and of node-access.toml."""
    file = tmp_path / "node-access.toml"
    file.write_text(CHANNEL.replace("production", "").replace("19:", "20:"))
    problems = problems_of({"NODE_ACCESS_CONFIG": str(file), "NODE_ACCESS_PORT": "all"})
    named = [problem.split(":")[0] for problem in problems]
    assert named == [
        "NODE_ACCESS_APP_ID",
        "NODE_ACCESS_APP_SECRET",
        "NODE_ACCESS_TENANT_ID",
        "NODE_ACCESS_PORT",
        "AWS_REGION",
        "node-access.toml",
        "node-access.toml",
    ]


ARN = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:teams/node-access-AbCdEf"
IDENTITY = {"IDENTITY_ENDPOINT": "http://169.254.131.2:8081/msi/token", "IDENTITY_HEADER": SECRET}


def without_secret(complete: dict[str, str], **given: str) -> dict[str, str]:
    """Return the smallest environment without a client secret, with these settings added."""
    rest = {name: value for name, value in complete.items() if name != "NODE_ACCESS_APP_SECRET"}
    return rest | {f"{PREFIX}{name}": value for name, value in given.items()}


def test_arn_of_a_secret_replaces_the_client_secret_in_the_environment(complete: dict[str, str]) -> None:
    """With the ARN of a secret in Secrets Manager, the environment needs no client secret."""
    settings, _ = load(without_secret(complete, APP_SECRET_ARN=ARN))
    assert (settings.app_secret_arn, settings.app_secret.get_secret_value()) == (ARN, "")


@pytest.mark.parametrize(
    "arn",
    [
        SECRET,
        "node-access",
        ARN.replace("secretsmanager", "ssm"),
        ARN.replace("eu-west-1", ""),
        ARN.replace("111122223333", "1111"),
        ARN.removesuffix("teams/node-access-AbCdEf"),
        ARN.replace(":secret:", ":"),
        f"{ARN} x",
        ARN.replace("node", "節点"),
    ],
)
def test_malformed_secret_arn_is_reported_with_an_example(complete: dict[str, str], arn: str) -> None:
    """No other problem is reported.

    The message does not repeat the value, which could be a secret in the wrong variable.
    """
    (problem,) = problems_of(without_secret(complete, APP_SECRET_ARN=arn))
    assert problem.startswith("NODE_ACCESS_APP_SECRET_ARN: write the ARN of a secret, like arn:aws:secretsmanager:")
    assert SECRET not in problem


def test_client_secret_and_the_arn_of_a_secret_together_are_refused(complete: dict[str, str]) -> None:
    """With both, it would be unclear which one is used."""
    assert problems_of(complete | {"NODE_ACCESS_APP_SECRET_ARN": ARN}) == (
        "NODE_ACCESS_APP_SECRET: set it or NODE_ACCESS_APP_SECRET_ARN, not both",
    )


@pytest.mark.parametrize("credential", ["aws-federation", "managed-identity"])
def test_client_secret_is_refused_if_the_credential_needs_none(complete: dict[str, str], credential: str) -> None:
    """Such a credential is accepted without a secret. An unused secret would never be rotated, so it is refused."""
    assert load(without_secret(complete, APP_CREDENTIAL=credential))[0].app_credential == credential
    found = problems_of(complete | {"NODE_ACCESS_APP_CREDENTIAL": credential, "NODE_ACCESS_APP_SECRET_ARN": ARN})
    assert found == (
        f"NODE_ACCESS_APP_SECRET_ARN: {credential} needs no secret: leave it out",
        f"NODE_ACCESS_APP_SECRET: {credential} needs no secret: leave it out",
    )


def test_unknown_kind_of_credential_is_reported_with_the_known_kinds(complete: dict[str, str]) -> None:
    """No other problem is reported, because the check of the secret depends on the kind of credential."""
    (problem,) = problems_of(complete | {"NODE_ACCESS_APP_CREDENTIAL": "password"})
    assert problem == "NODE_ACCESS_APP_CREDENTIAL: write 'secret', 'aws-federation' or 'managed-identity'"


def test_identity_endpoint_of_azure_is_read(complete: dict[str, str]) -> None:
    """App Service and Container Apps set the endpoint and its header, a virtual machine neither.

    The header is a secret, and the printed settings do not contain it.
    """
    environ = without_secret(complete, APP_CREDENTIAL="managed-identity")
    settings, _ = load(environ | IDENTITY)
    assert settings.identity_endpoint == IDENTITY["IDENTITY_ENDPOINT"]
    assert settings.identity_header is not None
    assert settings.identity_header.get_secret_value() == SECRET
    assert SECRET not in f"{settings!r} {settings.model_dump()}"
    assert (load(environ)[0].identity_endpoint, load(environ)[0].identity_header) == (None, None)


@pytest.mark.parametrize("name", sorted(IDENTITY))
def test_identity_endpoint_without_its_header_and_the_header_alone_are_refused(
    complete: dict[str, str], name: str
) -> None:
    """With one of the variables alone, the request for a token would fail or go to the wrong endpoint."""
    environ = without_secret(complete, APP_CREDENTIAL="managed-identity")
    (problem,) = problems_of(environ | {name: IDENTITY[name]})
    assert problem.startswith("IDENTITY_HEADER: ")
    assert SECRET not in problem


@pytest.mark.parametrize(
    "address", ["http://login.example.com/token", "http://169.253.0.1/", "http://[fe80::1]/", "ftp://localhost/", "x"]
)
def test_identity_endpoint_on_another_machine_needs_https(complete: dict[str, str], address: str) -> None:
    """HTTP to an address elsewhere, another scheme, and a text that is not an address are refused."""
    environ = without_secret(complete, APP_CREDENTIAL="managed-identity")
    (problem,) = problems_of(environ | IDENTITY | {"IDENTITY_ENDPOINT": address})
    assert problem.startswith("IDENTITY_ENDPOINT: ")


def test_managed_identity_variables_are_ignored_if_there_is_a_client_secret(complete: dict[str, str]) -> None:
    """A bot with a client secret does not read the variables of a managed identity, even if they are invalid."""
    settings, _ = load(complete | {"IDENTITY_ENDPOINT": "junk"})
    assert (settings.identity_endpoint, settings.identity_header) == (None, None)


@pytest.mark.parametrize("name", ["SERVICE_URL", "OPENID_METADATA_URL", "LOGIN_AUTHORITY"])
@pytest.mark.parametrize(
    "value", ["http://smba.trafficmanager.net/teams/", "ftp://localhost/", "smba.trafficmanager.net", "https://"]
)
def test_microsoft_addresses_must_use_https_and_have_a_host(complete: dict[str, str], name: str, value: str) -> None:
    """An address on another machine without https, and one without a host, are refused."""
    (problem,) = problems_of(complete | {f"{PREFIX}{name}": value})
    assert problem.startswith(f"{PREFIX}{name}: ")
    assert "https" in problem


def test_service_url_must_have_a_listed_host(complete: dict[str, str]) -> None:
    """The bot sends its token only to listed hosts, so another service URL is a problem at startup."""
    (problem,) = problems_of(complete | {"NODE_ACCESS_SERVICE_URL": "https://example.com/teams/"})
    assert "NODE_ACCESS_SERVICE_HOSTS" in problem


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("APP_ID", "app"),
        ("TENANT_ID", "example.com"),
        ("PORT", "65536"),
        ("METRICS_PORT", "-1"),
        ("SWEEP_SECONDS", "0"),
        ("SWEEP_SECONDS", "nan"),
        ("SERVICE_HOSTS", ","),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
        ("STORE", "sqlite:"),
        ("STORE", "dynamodb:"),
        ("STORE", "dynamodb:ab"),
        ("STORE", "dynamodb:rows/1"),
        ("STORE", f"dynamodb:{'x' * 256}"),
        ("STORE", "postgres://localhost"),
        ("QUEUE_URL", "node-access"),
        ("QUEUE_URL", "https://["),
    ],
)
def test_invalid_value_is_reported_under_the_name_of_its_setting(
    complete: dict[str, str], name: str, value: str
) -> None:
    """A problem begins with the name of the setting. At most one more problem is reported."""
    found = problems_of(complete | {f"{PREFIX}{name}": value})
    assert f"{PREFIX}{name}" in {problem.split(":")[0] for problem in found}
    assert len(found) <= 2  # without hosts, the service URL is invalid too


def test_misspelled_setting_is_refused_with_a_hint(complete: dict[str, str]) -> None:
    """A setting that the bot does not know is an error, with the nearest known name."""
    (problem,) = problems_of(complete | {"NODE_ACCESS_QUEUEURL": "x"})
    assert problem == "NODE_ACCESS_QUEUEURL: unknown; did you mean NODE_ACCESS_QUEUE_URL?"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("NODE_ACCESS_SWEEP", "NODE_ACCESS_SWEEP_SECONDS"),
        ("NODE_ACCESS_TENANT", "NODE_ACCESS_TENANT_ID"),
        ("NODE_ACCESS_QUEUE", "NODE_ACCESS_QUEUE_URL"),
        ("NODE_ACCESS_SECRET_ARN", "NODE_ACCESS_APP_SECRET_ARN"),
        ("NODE_ACCESS_CREDENTIAL", "NODE_ACCESS_APP_CREDENTIAL"),
        ("NODE_ACCESS_REGION", "AWS_REGION"),
        ("NODE_ACCESS_AWS_REGION", "AWS_REGION"),
    ],
)
def test_setting_with_missing_words_or_a_wrong_prefix_gets_a_hint(
    complete: dict[str, str], name: str, meant: str
) -> None:
    """The name leaves out some words of a known name, or adds the prefix to AWS_REGION."""
    (problem,) = problems_of(complete | {name: "x"})
    assert problem == f"{name}: unknown; did you mean {meant}?"


QUEUE = "https://sqs.{region}.amazonaws.com/111122223333/node-access-events"


@pytest.mark.parametrize(
    "url",
    [
        QUEUE,
        QUEUE.replace("sqs.", "sqs-fips."),
        QUEUE.replace("amazonaws.com", "api.aws"),
        QUEUE.replace("https", "http"),
        "https://{region}.queue.amazonaws.com/111122223333/node-access-events",
        "https://vpce-0123456789abcdef0-abcdefgh.sqs.{region}.vpce.amazonaws.com/111122223333/node-access-events",
        "http://sqs.{region}.localhost.localstack.cloud:4566/111122223333/node-access-events",
    ],
)
def test_queue_url_of_another_region_than_the_bots_is_refused(complete: dict[str, str], url: str) -> None:
    """AWS answers a call for such a queue as if it did not exist. Each of these forms of a URL names the Region."""
    assert load(complete | {"NODE_ACCESS_QUEUE_URL": url.format(region="ap-northeast-1")})[0].queue_url
    (problem,) = problems_of(complete | {"NODE_ACCESS_QUEUE_URL": url.format(region="us-east-1")})
    assert problem == (
        "NODE_ACCESS_QUEUE_URL: the queue is in us-east-1, the bot in ap-northeast-1: create a queue in the bot's"
        " Region, or set AWS_REGION to the Region of the queue"
    )


@pytest.mark.parametrize("url", ["https://queue.amazonaws.com/111122223333/q", "http://127.0.0.1:4566/111122223333/q"])
def test_queue_url_without_a_region_is_accepted(complete: dict[str, str], url: str) -> None:
    """The old form of a URL in us-east-1 and the URL of a simulator name no Region, so none is compared."""
    assert load(complete | {"NODE_ACCESS_QUEUE_URL": url})[0].queue_url == url


@pytest.mark.parametrize("region", ["ap-northeast-9", "us-east-3", "eu-nowhere-1"])
def test_region_that_does_not_exist_is_refused(complete: dict[str, str], region: str) -> None:
    """Without this check, the bot would start, and every sweep would fail. An existing Region is suggested."""
    (problem,) = problems_of(complete | {"AWS_REGION": region})
    assert problem.startswith("AWS_REGION: no AWS Region is known by this name; write one like ")
    *_, suggested = problem.split()
    assert load(complete | {"AWS_REGION": suggested})[0].region == suggested


@pytest.mark.parametrize("region", ["us-gov-west-1", "cn-north-1", "ap-southeast-5", "mx-central-1", "il-central-1"])
def test_new_regions_and_those_of_other_partitions_are_accepted(complete: dict[str, str], region: str) -> None:
    """The Regions for government and for China are in separate partitions."""
    assert load(complete | {"AWS_REGION": region})[0].region == region


GOVERNMENT = {
    "NODE_ACCESS_OPENID_METADATA_URL": "https://login.botframework.azure.us/v1/.well-known/openidconfiguration",
    "NODE_ACCESS_SERVICE_URL": "https://smba.infra.gov.teams.microsoft.us/teams/",
    "NODE_ACCESS_LOGIN_AUTHORITY": "https://login.microsoftonline.us",
}


def test_addresses_of_the_us_government_cloud_are_accepted(complete: dict[str, str]) -> None:
    """All three addresses are in the US government cloud. GCC belongs to the public cloud, with its own host."""
    assert load(complete | GOVERNMENT)[0].login_authority == "https://login.microsoftonline.us"
    gcc = "https://smba.infra.gcc.teams.microsoft.com/teams"
    assert load(complete | {"NODE_ACCESS_SERVICE_URL": gcc})[0].service_url == gcc


@pytest.mark.parametrize("names", [{name} for name in GOVERNMENT] + [GOVERNMENT.keys() - {name} for name in GOVERNMENT])
def test_addresses_of_two_microsoft_clouds_are_refused(complete: dict[str, str], names: set[str]) -> None:
    """Some addresses of one cloud and some of the other cannot work: tokens of one are refused by the other."""
    problems = problems_of(complete | {name: GOVERNMENT[name] for name in names})
    assert problems
    for problem in problems:
        assert problem.startswith(("NODE_ACCESS_SERVICE_URL: ", "NODE_ACCESS_LOGIN_AUTHORITY: "))
        assert "NODE_ACCESS_OPENID_METADATA_URL" in problem


def test_problem_of_one_address_in_another_cloud_names_both_clouds_and_the_fix(complete: dict[str, str]) -> None:
    """The default address counts like a given one: the most likely mistake is to set only the first address."""
    name = "NODE_ACCESS_OPENID_METADATA_URL"
    says = (
        "an address of the public cloud, but NODE_ACCESS_OPENID_METADATA_URL selects the US government cloud; set all"
        " three: NODE_ACCESS_OPENID_METADATA_URL, NODE_ACCESS_SERVICE_URL and NODE_ACCESS_LOGIN_AUTHORITY"
    )
    assert problems_of(complete | {name: GOVERNMENT[name]}) == (
        f"NODE_ACCESS_SERVICE_URL: {says}",
        f"NODE_ACCESS_LOGIN_AUTHORITY: {says}",
    )


@pytest.mark.parametrize("host", ["graph.microsoft.us", "dod-graph.microsoft.us"])
def test_address_of_graph_must_belong_to_the_cloud_of_the_bot(complete: dict[str, str], host: str) -> None:
    """Tokens of one cloud are refused by the other. The default may stay, because Graph is only called for groups."""
    given = {"NODE_ACCESS_GRAPH_URL": f"https://{host}/"}
    assert load(complete | GOVERNMENT)[0].graph_url == "https://graph.microsoft.com"
    assert load(complete | GOVERNMENT | given)[0].graph_url == f"https://{host}"
    (problem,) = problems_of(complete | given)
    assert problem == (
        "NODE_ACCESS_GRAPH_URL: an address of the US government cloud, but NODE_ACCESS_OPENID_METADATA_URL selects the"
        " public cloud"
    )


@pytest.mark.parametrize(
    "address",
    [
        "https://graph.example.com",
        "https://graph.microsoft.com:8443",
        "https://graph.microsoft.com.example.com",
        "https://graph.microsoft.com/v1.0",
        "https://graph.microsoft.com?x=1",
        "http://graph.microsoft.com",
    ],
)
def test_address_of_graph_is_the_origin_of_one_of_microsofts_hosts(complete: dict[str, str], address: str) -> None:
    """The bot's token for Graph lets its holder read the members of every group of the tenant."""
    (problem,) = problems_of(complete | {"NODE_ACCESS_GRAPH_URL": address})
    assert problem.startswith("NODE_ACCESS_GRAPH_URL: ")
    assert "https" in problem


def test_aws_federation_in_the_us_government_cloud_is_refused(complete: dict[str, str]) -> None:
    """The audience of federated credentials exists in the public cloud only."""
    (problem,) = problems_of(without_secret(complete, APP_CREDENTIAL="aws-federation") | GOVERNMENT)
    assert problem == (
        "NODE_ACCESS_OPENID_METADATA_URL: selects the US government cloud, where the credential aws-federation does"
        " not work; set NODE_ACCESS_APP_CREDENTIAL to secret or managed-identity"
    )


def test_wrong_address_for_signing_keys_of_the_government_cloud_is_refused(complete: dict[str, str]) -> None:
    """With such an address, the bot would count as one of the public cloud."""
    near = "https://login.botframework.us/v1/.well-known/openidconfiguration"
    found = problems_of(complete | GOVERNMENT | {"NODE_ACCESS_OPENID_METADATA_URL": near})
    assert found[0] == (
        "NODE_ACCESS_OPENID_METADATA_URL: for the US government cloud, write"
        " https://login.botframework.azure.us/v1/.well-known/openidconfiguration"
    )


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("OPENID_METADATA_URL", "https://login.botframework.azure.cn/v1/.well-known/openidconfiguration"),
        ("LOGIN_AUTHORITY", "https://login.partner.microsoftonline.cn"),
    ],
)
def test_addresses_of_unsupported_microsoft_clouds_are_refused(
    complete: dict[str, str], name: str, address: str
) -> None:
    """The bot knows the issuer of two clouds only. In another one, it would refuse every call of Teams."""
    (problem,) = problems_of(complete | {f"{PREFIX}{name}": address})
    assert problem == f"NODE_ACCESS_{name}: an address of a Microsoft cloud that the bot does not support"


def test_problem_of_an_app_or_tenant_id_says_where_entra_shows_the_id(complete: dict[str, str]) -> None:
    """A domain is a name of a tenant, but not its id."""
    app, tenant = problems_of(complete | {"NODE_ACCESS_APP_ID": "bot", "NODE_ACCESS_TENANT_ID": "example.com"})
    assert app == (
        "NODE_ACCESS_APP_ID: write an id like 11111111-1111-4111-8111-111111111111; the app registration's overview"
        " in Microsoft Entra shows it as Application (client) ID"
    )
    assert tenant == (
        "NODE_ACCESS_TENANT_ID: write an id like 11111111-1111-4111-8111-111111111111, not a domain; the tenant's"
        " overview in Microsoft Entra shows it as Tenant ID"
    )


def test_same_port_for_messages_and_metrics_is_refused(complete: dict[str, str]) -> None:
    """The second server could not listen. Port 0 means any free port, or no metrics."""
    assert problems_of(complete | {"NODE_ACCESS_PORT": "9464"}) == (
        "NODE_ACCESS_METRICS_PORT: the same as NODE_ACCESS_PORT; set one of them to another port",
    )
    assert load(complete | {"NODE_ACCESS_PORT": "0", "NODE_ACCESS_METRICS_PORT": "0"})[0].port == 0


def test_service_links_of_kubernetes_are_ignored(complete: dict[str, str]) -> None:
    """The service links of a Kubernetes service named node-access-bot do not block the start."""
    load(complete | {"NODE_ACCESS_BOT_PORT": "tcp://10.0.0.1:3978", "NODE_ACCESS_BOT_SERVICE_HOST": "10.0.0.1"})


def test_empty_environment_variable_counts_as_missing(complete: dict[str, str]) -> None:
    """Compose files and shells sometimes set variables to an empty text."""
    assert load(complete | {"NODE_ACCESS_QUEUE_URL": "", "NODE_ACCESS_PORT": " "})[0].port == 3978
    assert problems_of(complete | {"NODE_ACCESS_APP_SECRET": " "}) == (
        "NODE_ACCESS_APP_SECRET: missing: the client secret of the app; or NODE_ACCESS_APP_SECRET_ARN",
    )


def test_printed_settings_and_problems_do_not_contain_the_client_secret(complete: dict[str, str]) -> None:
    """Neither the settings' text nor a problem contains the secret."""
    settings, _ = load(complete)
    assert SECRET not in f"{settings!r} {settings!s} {settings.model_dump()}"
    assert SECRET not in str(problems_of(complete | {"NODE_ACCESS_PORT": SECRET, "NODE_ACCESS_TENANT_ID": SECRET}))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("s3://node-access-1/node-access.toml", ObjectPlace("node-access-1", "node-access.toml")),
        ("s3://node.access/prod/日本 100%.toml", ObjectPlace("node.access", "prod/日本 100%.toml")),
        ("folder:1/node-access.toml", Path("folder:1/node-access.toml")),
        ("1", Path("1")),
        ("C:/node-access.toml", Path("C:/node-access.toml")),
    ],
)
def test_configuration_setting_names_a_file_or_an_object_in_s3(
    complete: dict[str, str], text: str, place: object
) -> None:
    """The key of an object is taken as it is. Everything that is no address is a path."""
    assert Settings(**ARGUMENTS, config=text).config == place
    if isinstance(place, ObjectPlace):
        assert load(complete | {"NODE_ACCESS_CONFIG": text})[1] == place


@pytest.mark.parametrize(
    "text",
    [
        "s3://node-access",
        "s3://node-access/",
        "s3://node-access/folder/",
        "s3:///node-access.toml",
        "s3:/node-access/node-access.toml",
        "S3://node-access/node-access.toml",
        "s3://Node_Access/node-access.toml",
        "s3://node-access/a\nb",
        f"s3://node-access/{'あ' * 400}",
        "https://node-access.s3.ap-northeast-1.amazonaws.com/node-access.toml",
        "arn:aws:s3:::node-access/node-access.toml",
    ],
)
def test_configuration_address_that_names_no_object_is_refused_with_the_correct_form(
    complete: dict[str, str], text: str
) -> None:
    """No address is mistaken for the path of a file."""
    (problem,) = problems_of(complete | {"NODE_ACCESS_CONFIG": text})
    assert problem.startswith("NODE_ACCESS_CONFIG: write ")
    assert "s3://<bucket>/<key>" in problem


def _object_with_a_problem(place: ObjectPlace, region: str) -> Configuration:
    raise ConfigurationProblems([f"{place} in {region}: no such object"])


def test_problems_of_a_configuration_object_are_reported_with_those_of_the_settings(complete: dict[str, str]) -> None:
    """The object is read once, if the Region is known. With valid settings, only the running program reads it."""
    environ = complete | {"NODE_ACCESS_CONFIG": "s3://node-access/key"}
    assert load(environ, look=_object_with_a_problem)[1] == ObjectPlace("node-access", "key")
    for wrong, found in (
        ({"NODE_ACCESS_PORT": "x"}, ["NODE_ACCESS_PORT", "s3://node-access/key in ap-northeast-1"]),
        ({"AWS_REGION": "nowhere", "NODE_ACCESS_PORT": "x"}, ["NODE_ACCESS_PORT", "AWS_REGION"]),
    ):
        with pytest.raises(ConfigurationProblems) as caught:
            load(environ | wrong, look=_object_with_a_problem)
        assert [each.partition(":")[0] for each in caught.value.problems if "s3" not in each] + [
            each.rpartition(":")[0] for each in caught.value.problems if "s3" in each
        ] == found


def test_problems_of_a_configuration_file_are_reported_without_a_valid_region(complete: dict[str, str]) -> None:
    """A file is read without AWS."""
    problems = problems_of(complete | {"AWS_REGION": "nowhere", "NODE_ACCESS_CONFIG": "/absent.toml"})
    assert [each.partition(":")[0] for each in problems] == ["AWS_REGION", "/absent.toml"]


def test_settings_from_arguments_ignore_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Settings(…)` does not read the environment, so tests and the sandbox do not depend on it."""
    monkeypatch.setenv("NODE_ACCESS_PORT", "1")
    settings = Settings(app_id=GUID, app_secret=SECRET, tenant_id=GUID, region="us-east-1")
    assert settings.port == 3978


def test_settings_of_the_store_are_read_without_the_other_settings() -> None:
    """`show` needs only the settings of the store."""
    settings = load_store({"NODE_ACCESS_STORE": "sqlite:a.db"})
    assert (settings.sqlite_path, settings.dynamodb_table) == (Path("a.db"), None)
    settings = load_store({"NODE_ACCESS_STORE": "dynamodb:rows.of-the_bot", "AWS_DEFAULT_REGION": "us-east-1"})
    assert (settings.sqlite_path, settings.dynamodb_table) == (None, "rows.of-the_bot")
    assert settings.region == "us-east-1"


def test_store_setting_with_a_dynamodb_table_needs_a_region() -> None:
    """For DynamoDB a missing Region is a problem; for a file it is not."""
    with pytest.raises(ConfigurationProblems, match="the AWS Region of the table"):
        load_store({"NODE_ACCESS_STORE": "dynamodb:rows"})
    assert load_store({}).region is None


def test_settings_are_read_from_the_environment_of_the_process_by_default(
    complete: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an argument, the environment of the process is read."""
    for name in [name for name in os.environ if name.startswith((PREFIX, "AWS_"))]:
        monkeypatch.delenv(name)
    for name, value in complete.items():
        monkeypatch.setenv(name, value)
    assert load()[0].app_id == GUID


_VALUES = (
    st.text(max_size=40)
    | st.text(string.printable, max_size=40)
    | st.sampled_from(["", "0", "[", "https://", "sqlite:"])
)


@given(st.dictionaries(st.sampled_from([*NAMES, "AWS_REGION", "NODE_ACCESS_X"]), _VALUES))
def test_any_environment_is_read_or_refused_with_the_declared_error(environ: dict[str, str]) -> None:
    """Any environment gives settings or ConfigurationProblems. Each problem is one line without the secret."""
    problems = _refusal(environ | {"NODE_ACCESS_APP_SECRET": SECRET})
    assert SECRET not in str(problems)
    assert all(len(problem.splitlines()) == 1 for problem in problems)


def _refusal(environ: dict[str, str]) -> tuple[str, ...]:
    try:
        load(environ)
    except ConfigurationProblems as caught:
        return caught.problems or ("",)  # an error without a line would count as a line
    return ()
