"""Tests for the report of a missing browser."""

from pathlib import Path

import pytest

from tests.e2e.browser import BrowserMissing, find_chromium
from tests.e2e.conftest import skip_or_fail

pytestmark = pytest.mark.e2e


def test_missing_browser_skips_the_test_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without CI=true, `skip_or_fail` skips the test, and the report has the reason."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="Chromium is missing"):
        skip_or_fail(BrowserMissing("Chromium is missing"))


@pytest.mark.parametrize("value", ["true", "1", "TRUE"])
def test_missing_browser_fails_the_test_in_continuous_integration(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """With CI=true, `skip_or_fail` fails the test with the reason."""
    monkeypatch.setenv("CI", value)
    with pytest.raises(pytest.fail.Exception, match="Chromium is missing"):
        skip_or_fail(BrowserMissing("Chromium is missing"))


def test_error_for_a_missing_browser_names_the_packages_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without Chromium on the PATH, the error has the command that installs it with a Japanese font."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    with pytest.raises(BrowserMissing, match="apt-get install chromium fonts-noto-cjk"):
        find_chromium()
