"""A missing browser or a failed installation is always reported."""

from pathlib import Path

import pytest

from tests.e2e.browser import BrowserMissing, find_chromium
from tests.e2e.conftest import skip_or_fail

pytestmark = pytest.mark.e2e


def test_missing_browser_skips_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a developer's machine, the run says which tests did not run, and why."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="Chromium is missing"):
        skip_or_fail(BrowserMissing("Chromium is missing"))


@pytest.mark.parametrize("value", ["true", "1", "TRUE"])
def test_missing_browser_fails_in_continuous_integration(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """With CI=true, a missing browser is a failure."""
    monkeypatch.setenv("CI", value)
    with pytest.raises(pytest.fail.Exception, match="Chromium is missing"):
        skip_or_fail(BrowserMissing("Chromium is missing"))


def test_missing_browser_is_reported_with_its_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Chromium, the error says which packages to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    with pytest.raises(BrowserMissing, match="apt-get install chromium fonts-noto-cjk"):
        find_chromium()
