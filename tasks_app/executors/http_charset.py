"""The charset that a Content-Type names, among those that are for text, and text in it; UTF-8 stands for the rest.

A name is looked up here and never by Python: its codecs include ``zlib``, ``punycode`` and ``unicode_escape``, and it
remembers every name that it has not found. Labels are read as their senders mean them (WHATWG Encoding Standard): a
Shift_JIS page may hold what Windows added to it.
"""

from __future__ import annotations

import codecs
import re
from encodings import normalize_encoding
from encodings.aliases import aliases
from typing import Final

UTF_8: Final = "utf_8"

#: RFC 9110 §5.6.6. A quoted value counts as one, so that nothing in it looks like a parameter.
_PARAMETER: Final = re.compile(r"""[;,]\s*([^\s=;,"]+)\s*=\s*("[^"]*"|[^\s;,"]*)""")
#: Names are short; nothing is looked for in what a peer piles up behind them.
_LONGEST: Final = 1024

_CODECS: Final = frozenset(
    {"latin_1", "utf_8", "utf_8_sig", "utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be", "utf_32_le"}
    | {f"iso8859_{part}" for part in range(2, 17) if part != 12}
    | {f"cp{page}" for page in (437, 720, 737, 775, 850, 852, 855, 857, 858, *range(860, 867), 869, 874, 932, 949, 950)}
    | {f"cp{page}" for page in range(1250, 1259)}
    | {"big5", "big5hkscs", "euc_jp", "euc_kr", "gb18030", "gb2312", "gbk", "iso2022_jp", "johab", "shift_jis"}
    | {"koi8_r", "koi8_t", "koi8_u", "kz1048", "mac_cyrillic", "mac_greek", "mac_latin2", "mac_roman", "mac_turkish"}
    | {"ascii", "tis_620"}
)
#: What is sent under a name, where that is more than the name's standard has.
_WIDER: Final = {"ascii": UTF_8, "euc_kr": "cp949", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932"}
#: Their decoders refuse what does not begin with a byte order mark; browsers read it as little-endian.
_MARKED: Final = {
    "utf_16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf_32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}
_LABELS: Final = (
    {name: name for name in _CODECS}
    | {alias: codec for alias, codec in aliases.items() if codec in _CODECS}
    | {f"windows_{page}": f"cp{page}" for page in (874, 932, 949)}
    | {"windows_31j": "cp932", "x_sjis": "shift_jis", "x_gbk": "gbk"}
)


def codec_of(content_type: str | None) -> str:
    """The codec to read a body of this Content-Type with; `UTF_8` when it names none that is for text."""
    for name, value in _PARAMETER.findall((content_type or "")[:_LONGEST]):
        if name.lower() == "charset":
            label = normalize_encoding(value.strip("\"' \t").lower())
            codec = _LABELS.get(label, UTF_8)
            return _WIDER.get(codec, codec)
    return UTF_8


def decode(data: bytes, codec: str, *, whole: bool) -> str:
    """Text with U+FFFD for what is invalid. When not ``whole``, a character that is cut off at the end is left out."""
    if codec in _MARKED and not data.startswith(_MARKED[codec]):
        codec += "_le"
    return codecs.getincrementaldecoder(codec)("replace").decode(data, final=whole)
