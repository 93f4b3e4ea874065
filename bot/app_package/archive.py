"""The zip file: writes the same bytes for the same contents, and reads any zip with limits."""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from bot.app_package.manifest import COLOR, LANGUAGE_FILES, OUTLINE, AppDetails, Json, manifest, translation

MANIFEST: Final = "manifest.json"
EARLIEST: Final = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can express
LARGEST: Final = 5_000_000  # bytes of all files together; ours have about 15,000
UNIX: Final = 3
READABLE: Final = 0o644 << 16


class NotAPackage(Exception):
    """The file is no readable zip, is too large for an app package, or has no manifest that is a JSON object."""


def contents(details: AppDetails, *, version: str) -> dict[str, bytes]:
    """Return the files of the package by name."""
    icons = files("bot.app_package") / "icons"
    return {
        MANIFEST: _as_bytes(manifest(details, version=version)),
        COLOR: (icons / COLOR).read_bytes(),
        OUTLINE: (icons / OUTLINE).read_bytes(),
        **{name: _as_bytes(translation(details, locale)) for locale, name in LANGUAGE_FILES.items()},
    }


def _as_bytes(document: Json) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"


def pack(entries: Mapping[str, bytes]) -> bytes:
    """Return a zip of these files. It is not compressed: the bytes must not depend on the version of zlib."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries.items():
            entry = zipfile.ZipInfo(name, date_time=EARLIEST)
            entry.create_system, entry.external_attr = UNIX, READABLE
            archive.writestr(entry, data)
    return written.getvalue()


def unpack(package: bytes) -> dict[str, bytes]:
    """Return the files of a zip by their path in it, without folders. Raises NotAPackage."""
    try:
        with zipfile.ZipFile(io.BytesIO(package)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if sum(entry.file_size for entry in entries) > LARGEST:
                raise NotAPackage(f"its files have more than {LARGEST // 1_000_000} MB")
            return {entry.filename: archive.read(entry) for entry in entries}
    # what zipfile raises for an encrypted, cut off, damaged or unusual archive
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise NotAPackage(f"it is not a readable zip file ({error})") from None


def read_manifest(entries: Mapping[str, bytes]) -> Json:
    """Return the manifest of an unpacked package. Raises NotAPackage if there is none, or it is not a JSON object."""
    try:
        document = json.loads(entries[MANIFEST])
    except KeyError:
        raise NotAPackage(f"it has no {MANIFEST} at its top level") from None
    except (ValueError, RecursionError) as error:
        raise NotAPackage(f"its {MANIFEST} is not JSON ({type(error).__name__})") from None
    if not isinstance(document, dict):
        raise NotAPackage(f"its {MANIFEST} is not a JSON object")
    return document
