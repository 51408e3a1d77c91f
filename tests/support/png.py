"""Pictures of pages made small: 256 colours are as many as a page needs (PNG, third edition, §11.2.1 and §9)."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def shrink(data: bytes) -> bytes:
    """The same picture, 8-bit RGB or RGBA, with the colours of its 256 commonest shades; others become the nearest."""
    chunks = list(_chunks(data))
    header = chunks[0][1]
    width, height, depth, kind = struct.unpack(">IIBB", header[:10])
    assert (depth, kind in (2, 6)) == (8, True), "not a screenshot"
    size = 3 if kind == 2 else 4
    raw = zlib.decompress(b"".join(body for name, body in chunks if name == b"IDAT"))
    pixels = [row[at : at + 3] for row in _rows(raw, width * size, size) for at in range(0, len(row), size)]
    index = _palette(Counter(pixels))
    colours = b"".join(sorted({index[colour][1] for colour in index}, key=lambda each: index[each][0]))
    lines = bytearray()
    for row in range(height):
        lines += b"\0" + bytes(index[pixel][0] for pixel in pixels[row * width : (row + 1) * width])
    parts = [(b"IHDR", header[:9] + b"\x03" + header[10:]), (b"PLTE", colours), (b"IDAT", zlib.compress(lines, 9))]
    return _SIGNATURE + b"".join(_chunk(*part) for part in (*parts, (b"IEND", b"")))


def _palette(counts: Counter[bytes]) -> dict[bytes, tuple[int, bytes]]:
    """For each colour the number and the colour of the one that stands for it."""
    shades: Counter[bytes] = Counter()
    best: dict[bytes, bytes] = {}
    for colour, count in counts.most_common():
        shade = bytes(part >> 3 for part in colour)
        shades[shade] += count
        best.setdefault(shade, colour)
    kept = [best[shade] for shade, _ in shades.most_common(256)]
    found = {colour: (number, colour) for number, colour in enumerate(kept)}
    for colour in counts:
        if colour not in found:
            found[colour] = found[min(kept, key=lambda other: _distance(colour, other))]
    return found


def _distance(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += length + 12


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _rows(raw: bytes, length: int, size: int) -> Iterator[bytes]:
    """Rows without their filters."""
    above = bytearray(length)
    for start in range(0, len(raw), length + 1):
        row, how = bytearray(raw[start + 1 : start + 1 + length]), raw[start]
        for at in range(length) if how else ():
            left, up = row[at - size] if at >= size else 0, above[at]
            corner = above[at - size] if at >= size else 0
            row[at] = (row[at] + (0, left, up, (left + up) // 2, _paeth(left, up, corner))[how]) & 255
        above = row
        yield bytes(row)


def _paeth(left: int, up: int, corner: int) -> int:
    near = left + up - corner
    return min((left, up, corner), key=lambda each: abs(near - each))
