"""No file of the project contains a secret, a real account number, or the address of a package registry."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.system.test_packaging import lines, our_files

SECRETS = {  # each pattern fits within one line
    "AWS access key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "signed token": r"\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{15,}",
    "Entra client secret": r"(?<![\w~.-])[A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{31,}(?![\w~.-])",
    "GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36}\b|\bgithub_pat_[A-Za-z0-9_]{60,}",
    "Slack token": r"\bxox[abpr]-[A-Za-z0-9-]{10,}",
    "webhook": r"https://[\w.-]*(?:webhook\.office\.com|hooks\.slack\.com)/\S{20,}",
    "password in an address": r"\w+://[^\s/:@\"'{}]+:[^\s/@\"'{}]+@[\w.-]+",
    "long random text": r"(?i)(?:secret|password|token|api_?key)\w*[\"']?\s*[:=]\s*[\"'][A-Za-z0-9+/=_~.-]{32,}[\"']",
}
MADE_UP = (  # the samples in tests that look like secrets; the scan ignores exactly these texts
    "AKIAUNKNOWN000000000",
    "https://user:pass@smba.trafficmanager.net/",
    "https://smba.trafficmanager.net:443@attacker.example/teams/",
    "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2lnbmF0dXJl",
    "a-client-secret-that-no-message-repeats",
)
REGISTRIES = r"(?:files\.)?python" + r"hosted\.org|registry\.(?:npm" + r"js\.org|yarnpkg\.com)|/sim" + "ple/"
ACCOUNT = re.compile(r"arn:aws[\w-]*:[\w-]*:[\w*-]*:(\d{12}):")
SAMPLE_ACCOUNTS = re.compile(r"(\d)\1{11}|(\d)\2{3}(\d)\3{3}(\d)\4{3}|123456789012")


def found_in(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line number and the kind of each text that looks like a secret."""
    for sample in MADE_UP:
        text = text.replace(sample, "")
    for name, pattern in SECRETS.items():
        yield from ((text.count("\n", 0, found.start()) + 1, name) for found in re.finditer(pattern, text))


def offences(paths: Iterable[Path]) -> list[str]:
    """Return file, line and kind of each text that looks like a secret, without the text."""
    return [f"{path}:{number}: {name}" for path in paths for number, name in found_in("\n".join(lines(path)))]


def test_no_file_contains_a_secret() -> None:
    """The scan covers all files of the project, tests included."""
    assert offences(our_files()) == []


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("AWS access key", ("AKIA", "Q3EGRT7XK2WD5V6B")),
        ("private key", ("-----BEGIN RSA PRIV", "ATE KEY-----")),
        ("signed token", ("eyJhbGciOiJSUzI1NiIs", "InR5cCI.eyJpc3MiOiJodHRwczovL2Fw.c2lnbmF0dXJlc2lnbmF0dXJl")),
        ("Entra client secret", ("abc8Q", "~Zx0Zx0Zx0Zx0Zx0Zx0Zx0Zx0Zx0Zx0Zx0a")),
        ("GitHub token", ("ghp_", "A1b2" * 9)),
        ("Slack token", ("xoxb-", "1234567890-abcdef")),
        ("webhook", ("https://hooks.slack", ".com/services/T00000000/B00000000/XXXX")),
        ("password in an address", ("https://bob:hunter2", "@example.com/")),
        ("long random text", ('app_secret = "', "Zx0" * 12 + '"')),
    ],
)
def test_scan_for_secrets_finds_each_kind_of_secret(name: str, parts: tuple[str, ...], tmp_path: Path) -> None:
    """It reports file and line without the secret."""
    planted = tmp_path / "planted.py"
    planted.write_text("# nothing\n" + "".join(parts) + "\n")
    found = offences([planted])
    assert f"{planted}:2: {name}" in found
    assert "".join(parts) not in str(found)


def test_every_account_number_is_a_sample() -> None:
    """Account numbers in ARNs are `123456789012` or consist of repeated digits."""
    accounts = {number for path in our_files() for line in lines(path) for number in ACCOUNT.findall(line)}
    assert {each for each in accounts if not SAMPLE_ACCOUNTS.fullmatch(each)} == set()


def test_no_file_contains_the_address_of_a_package_registry() -> None:
    """Each installation chooses its own package registry, so no file contains the address of one."""
    assert [str(path) for path in our_files() for line in lines(path) if re.search(REGISTRIES, line)] == []
