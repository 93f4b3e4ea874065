"""What is missing is named, and never passes silently."""

from pathlib import Path

import pytest

from tests.e2e.browser import BrowserMissing, find_chromium
from tests.e2e.conftest import not_here

pytestmark = pytest.mark.e2e


def test_what_is_missing_skips_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a developer's machine the run says which tests did not run, and why."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="Chromium is missing"):
        not_here(BrowserMissing("Chromium is missing"))


@pytest.mark.parametrize("value", ["true", "1", "TRUE"])
def test_what_is_missing_fails_in_continuous_integration(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """With CI=true a missing browser is a failure."""
    monkeypatch.setenv("CI", value)
    with pytest.raises(pytest.fail.Exception, match="Chromium is missing"):
        not_here(BrowserMissing("Chromium is missing"))


def test_missing_browser_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Chromium the reason names what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    with pytest.raises(BrowserMissing, match="apt-get install chromium fonts-noto-cjk"):
        find_chromium()
