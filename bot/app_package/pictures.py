"""Reads what the rules about icons need from a PNG file.

https://www.w3.org/TR/png-3/
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_HEAD: Final = struct.Struct(">IIBBBBB")  # width, height, bits, color type, compression, filter, interlace
# Bytes of a pixel by form: 8 bits each of red, green, blue, and alpha in the second one; not interlaced.
_BYTES: Final[Mapping[tuple[int, ...], int]] = {(8, 2, 0, 0, 0): 3, (8, 6, 0, 0, 0): 4}
_OPAQUE: Final = 255


class NotAPicture(Exception):
    """The data is not a PNG file, or not in the form that can be read here; the message says what is expected."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG file: its size in pixels, its form, and its data, still compressed.

    `form` has the last five values of _HEAD: bits, color type, compression, filter, interlace.
    """

    width: int
    height: int
    form: tuple[int, ...]
    data: bytes

    def pixels(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield red, green, blue and alpha of each pixel, from 0 to 255. Raises NotAPicture."""
        if self.form not in _BYTES:
            raise NotAPicture("it is not a PNG with 8 bits for each color and alpha, without interlace")
        size = _BYTES[self.form]
        for line in self._lines(size):
            for at in range(0, len(line), size):
                red, green, blue, *alpha = line[at : at + size]
                yield red, green, blue, alpha[0] if alpha else _OPAQUE

    def _lines(self, size: int) -> Iterator[bytes]:
        length = self.width * size
        raw = self._decompressed((length + 1) * self.height)
        above = bytes(length)
        for at in range(0, len(raw), length + 1):
            above = _unfiltered(raw[at], raw[at + 1 : at + 1 + length], above, size)
            yield above

    def _decompressed(self, length: int) -> bytes:
        try:
            raw = zlib.decompressobj().decompress(self.data, length)
        except zlib.error:
            raw = b""
        if len(raw) != length:
            raise NotAPicture("it is damaged")
        return raw


def read_picture(data: bytes) -> Picture:
    """Return the picture in a PNG file. Checks only its head. Raises NotAPicture."""
    parts = dict.fromkeys((b"IHDR", b"IDAT"), b"")
    if not data.startswith(SIGNATURE):
        raise NotAPicture("it is not a PNG file")
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind in parts:
            parts[kind] += data[at + 8 : at + 8 + length]
        at += length + 12  # length, kind and checksum have 4 bytes each
    if len(parts[b"IHDR"]) != _HEAD.size:
        raise NotAPicture("it is damaged")
    width, height, *form = _HEAD.unpack(parts[b"IHDR"])
    return Picture(width, height, tuple(form), parts[b"IDAT"])


def _unfiltered(kind: int, line: bytes, above: bytes, size: int) -> bytes:
    """Return a line without its filter: each byte is stored as the difference from a prediction.

    `kind` is the number of the filter, `above` the line above without its filter, and `size` the bytes of a pixel.
    Raises NotAPicture.
    """
    done = bytearray()
    for at, byte in enumerate(line):
        left = done[at - size] if at >= size else 0
        corner = above[at - size] if at >= size else 0
        done.append((byte + _predicted(kind, left, above[at], corner)) & 0xFF)
    return bytes(done)


def _predicted(kind: int, left: int, above: int, corner: int) -> int:
    match kind:
        case 0:
            return 0
        case 1:
            return left
        case 2:
            return above
        case 3:
            return (left + above) // 2
        case 4:
            guess = left + above - corner
            return min((left, above, corner), key=lambda each: abs(guess - each))  # the first of equals, as specified
        case _:
            raise NotAPicture("it is damaged")
