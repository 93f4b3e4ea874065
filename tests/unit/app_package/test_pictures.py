"""Tests for reading PNG files: an icon may come from any drawing program."""

import random
import struct
import zlib

import pytest

from bot.app_package.pictures import SIGNATURE, NotAPicture, read_picture

SIZE = 5
RGB, RGBA = 2, 6  # color types


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(lines: bytes, *, color_type: int = RGBA, parts: int = 1) -> bytes:
    """Return a PNG file of SIZE × SIZE pixels with these filtered lines, in one chunk of data or in several."""
    data = zlib.compress(lines)
    cut = -(-len(data) // parts)
    chunks = [chunk(b"IDAT", data[at : at + cut]) for at in range(0, len(data), cut)]
    head = struct.pack(">IIBBBBB", SIZE, SIZE, 8, color_type, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", head) + chunk(b"tEXt", b"Title\0IDAT") + b"".join(chunks) + chunk(b"IEND", b"")


def filtered(lines: list[bytes], *, kind: int, size: int) -> bytes:
    """Return lines as a drawing program writes them, each byte as the difference from a prediction."""
    done, above = b"", bytes(len(lines[0]))
    for line in lines:
        left = bytes(size) + line[:-size]
        corner = bytes(size) + above[:-size]
        guesses = (predicted(kind, *three) for three in zip(left, above, corner, strict=True))
        done += bytes([kind]) + bytes((byte - guess) % 256 for byte, guess in zip(line, guesses, strict=True))
        above = line
    return done


def predicted(kind: int, left: int, above: int, corner: int) -> int:
    """Return the prediction of a filter, as https://www.w3.org/TR/png-3/#9Filter-types defines it."""
    distances = {"left": abs(above - corner), "above": abs(left - corner), "corner": abs(left + above - 2 * corner)}
    nearest = {"left": left, "above": above, "corner": corner}[min(distances, key=lambda name: distances[name])]
    return (0, left, above, (left + above) // 2, nearest)[kind]


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize(("color_type", "size"), [(RGB, 3), (RGBA, 4)])
def test_every_filter_of_png_gives_the_same_pixels(kind: int, color_type: int, size: int) -> None:
    """Drawing programs choose among five filters, and may split the data. Without alpha, a pixel is opaque."""
    lines = [random.Random(row).randbytes(SIZE * size) for row in range(SIZE)]
    picture = read_picture(png(filtered(lines, kind=kind, size=size), color_type=color_type, parts=3))
    expected = [tuple(line[at : at + size]) for line in lines for at in range(0, len(line), size)]
    assert [pixel[:size] for pixel in picture.pixels()] == expected
    assert size == 4 or {pixel[3] for pixel in picture.pixels()} == {255}


@pytest.mark.parametrize(
    "data",
    [
        png(b"\x05" + bytes(SIZE * 4) + (b"\0" + bytes(SIZE * 4)) * (SIZE - 1)),
        png(b"\0" * 20),
        png(b"\0" * 105).replace(zlib.compress(b"\0" * 105), b"no compressed data"),
        png(b"\0" * 105)[:50],
    ],
    ids=["unknown filter", "too few lines", "not compressed", "cut off"],
)
def test_damaged_png_file_is_refused(data: bytes) -> None:
    """The pixels of a damaged file are unknown."""
    with pytest.raises(NotAPicture, match="damaged"):
        list(read_picture(data).pixels())
