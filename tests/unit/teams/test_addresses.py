"""Tests for bot.teams.net.addresses: which addresses the bot may call, and which hosts get its token."""

import pytest

from bot.teams.net.addresses import AddressRefused, ServiceHosts, checked

HOSTS = ServiceHosts(["smba.trafficmanager.net", " *.Teams.Example.com", "127.0.0.1", "*."])


@pytest.mark.parametrize(
    "url",
    [
        "https://smba.trafficmanager.net/teams/",
        "https://SMBA.trafficmanager.net/amer",
        "https://gov.teams.example.com",
        "https://smba.trafficmanager.net:443/teams",
        "http://127.0.0.1:8080/teams/",
        "https://127.0.0.1:8443/teams/",
        "http://127.0.0.1:1/",
    ],
)
def test_addresses_with_a_listed_host_are_accepted(url: str) -> None:
    """A listed host gets the token over https. A listed loopback host gets it over http too."""
    assert HOSTS.base(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "https://attacker.example/",
        "http://smba.trafficmanager.net/teams/",
        "https://smba.trafficmanager.net.attacker.example/",
        "https://smba.trafficmanager.net@attacker.example/",
        "https://user:pass@smba.trafficmanager.net/",
        "https://attacker.example\\@smba.trafficmanager.net/",
        "https://attacker.example\\.smba.trafficmanager.net/",
        "https://teams.example.com/",
        "https://xteams.example.com/",
        "https://smba.trafficmanager.net/?x=1",
        "https://smba.trafficmanager.net/#x",
        "https://smba.trafficmanager.net/teams?",
        "https://smba.trafficmanager.net:x/",
        "https://smba.trafficmanager.net:8443/teams/",
        "https://smba.trafficmanager.net:80/teams/",
        "https://gov.teams.example.com:444/",
        "https://smba.trafficmanager.net /",
        "https://smba\u3002trafficmanager.net/",
        "https://smba.trafficmanager.net\r\nHost: attacker.example/",
        "https://smba.\ttrafficmanager.net/",
        "https://smba.trafficmanager.net/\\@attacker.example",
        "https://smba.trafficmanager.net/teams /",
        "https://smba.trafficmanager.net/\u30c1\u30fc\u30e0/",
        "http://localhost:8080/",
        "http://127.0.0.2/",
        "ftp://127.0.0.1/",
        "//smba.trafficmanager.net/",
        "smba.trafficmanager.net",
        "https://",
        "https://[::1",
        "",
    ],
)
def test_unlisted_insecure_and_ambiguous_addresses_are_refused(url: str) -> None:
    """An address with a user name, a query or another port than 443 is refused too."""
    with pytest.raises(AddressRefused):
        HOSTS.base(url)


def test_empty_list_of_hosts_refuses_every_address() -> None:
    """Even loopback must be listed."""
    with pytest.raises(AddressRefused):
        ServiceHosts([]).base("http://127.0.0.1/")


@pytest.mark.parametrize("url", ["http://localhost/x", "http://[::1]:80/", "http://127.9.9.9/", "https://example.com"])
def test_https_and_plain_http_to_loopback_are_accepted(url: str) -> None:
    """Without TLS the call must not leave the machine."""
    assert checked(url).hostname


@pytest.mark.parametrize("url", ["http://example.com", "http://169.254.169.254/", "http://localhost.example.com/"])
def test_plain_http_is_refused_for_other_hosts(url: str) -> None:
    """The link-local address of a cloud's metadata service is refused too."""
    with pytest.raises(AddressRefused):
        checked(url)
