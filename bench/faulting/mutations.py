"""Damage to a file: to its bytes, or to what its format is made of, which gets past the first check of a reader."""

import csv
import io
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

__all__ = ["damage"]

TEXTS = (
    *(
        "",
        " ",
        "0",
        "-0",
        "-1",
        "true",
        "null",
        "nan",
        "1e999",
        "9" * 400,
        "a" * 5000,
        "[" * 2000,
        "é猫",
        "\x00",
        "\ufeff",
    ),
    *('"', "'", ",", ";", "\t", "\r", "\n", "\\", "{", "}", "<", "&lol;", "%s", "../..", "/dev/null"),
)
VALUES = (
    *(None, True, -1, 0, 2, 1 << 70, 1.5, float("nan"), float("inf"), "", "x"),
    *([], {}, [[]], [None], {"": None}, [[[[[]]]]]),
)
BYTES = (b"\x00", b"\xff", b"\x00" * 64, b"\xff\xfe", b"\x80", b"\n", b'"', b"PK\x03\x04", b"\x89PNG\r\n\x1a\n")
Mutation = Callable[[bytes, Random], bytes]


def damage(path: Path, others: list[Path], chance: Random) -> str:
    """Damage a file in one way, and say how.

    Args:
        path: the file.
        others: files that may be put in its place.
        chance: decides how.
    """
    if chance.random() < 0.05:
        return _damage_place(path, others, chance)
    content = path.read_bytes()
    ways = [*_ANY, *_OF_SUFFIX.get(path.suffix.lower(), _TEXT if _is_text(content) else ())]
    way = chance.choice(ways)
    try:
        changed = way(content, chance)
    except Exception:  # it has nothing that this way changes, or is damaged already, and readers raise anything
        way, changed = _cut, _cut(content, chance)
    path.unlink()  # it may be a link
    path.write_bytes(changed)
    return way.__name__.strip("_").replace("_", " ")


def _damage_place(path: Path, others: list[Path], chance: Random) -> str:
    """Something else where the file was."""
    kind = chance.choice(("nothing", "a folder", "a link to itself", "another file"))
    if kind == "another file" and others:
        shutil.copy(chance.choice(others), path)
        return kind
    path.unlink()
    if kind == "a folder":
        path.mkdir()
    elif kind == "a link to itself":
        path.symlink_to(path.name)
    return kind


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _place(content: bytes, chance: Random) -> int:
    return chance.randint(0, max(len(content) - 1, 0))


def _span(content: bytes, chance: Random) -> tuple[int, int]:
    begin = _place(content, chance)
    return begin, min(len(content), begin + chance.choice((1, 2, 7, 64, 4096)))


def _flip_bits(content: bytes, chance: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 3, 20)) if changed else 0):
        changed[_place(content, chance)] ^= 1 << chance.randint(0, 7)
    return bytes(changed)


def _cut(content: bytes, chance: Random) -> bytes:
    return content[: chance.choice((0, _place(content, chance), len(content) - 1))]


def _take_out(content: bytes, chance: Random) -> bytes:
    begin, end = _span(content, chance)
    return content[:begin] + content[end:]


def _double(content: bytes, chance: Random) -> bytes:
    begin, end = _span(content, chance)
    return content[:end] + content[begin:]


def _insert(content: bytes, chance: Random) -> bytes:
    place = _place(content, chance)
    return content[:place] + chance.choice((*BYTES, chance.randbytes(16))) + content[place:]


def _overwrite(content: bytes, chance: Random) -> bytes:
    begin, end = _span(content, chance)
    return content[:begin] + chance.randbytes(end - begin) + content[end:]


def _swap(content: bytes, chance: Random) -> bytes:
    one, two = sorted((_place(content, chance), _place(content, chance)))
    return content[two:] + content[one:two] + content[:one]


def _word(content: bytes, chance: Random) -> bytes:
    """A word or number of a text becomes something odd."""
    text = content.decode()
    begin = chance.randint(0, len(text) - 1)
    while begin and text[begin - 1].isalnum():
        begin -= 1
    end = begin
    while end < len(text) and text[end].isalnum():
        end += 1
    return (text[:begin] + chance.choice(TEXTS) + text[end:]).encode()


def _line(content: bytes, chance: Random) -> bytes:
    """A line of a text goes, comes twice, or changes its place."""
    lines = content.splitlines(keepends=True)
    line = lines.pop(chance.randrange(len(lines)))
    for _ in range(chance.choice((0, 1, 2))):
        lines.insert(chance.randint(0, len(lines)), line)
    return b"".join(lines)


def _cell(content: bytes, chance: Random) -> bytes:
    rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    row = rows[chance.choice((0, chance.randrange(len(rows))))]
    row[chance.randrange(len(row))] = chance.choice((*TEXTS, row[0], row[-1]))
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode(errors="surrogatepass")


def _node(content: bytes, chance: Random) -> bytes:
    """A value or key anywhere in a JSON text becomes something odd."""
    return json.dumps(_changed(json.loads(content), chance)).encode()


def _json_line(content: bytes, chance: Random) -> bytes:
    lines = content.splitlines()
    place = chance.randrange(len(lines))
    lines[place] = _node(lines[place], chance)
    return b"\n".join(lines) + b"\n"


def _changed(value: Any, chance: Random) -> Any:
    inside = isinstance(value, dict | list) and len(value) > 0
    if not inside or chance.random() < 0.1:
        return chance.choice((*VALUES, *TEXTS))
    if isinstance(value, list):
        place = chance.randrange(len(value))
        if chance.random() < 0.1:
            return [*value, value[place]]
        return [*value[:place], _changed(value[place], chance), *value[place + 1 :]]
    key = chance.choice(list(value))
    if chance.random() < 0.15:
        return {other: one for other, one in value.items() if other != key} | (
            {str(chance.choice(TEXTS)): value[key]} if chance.random() < 0.5 else {}
        )
    return value | {key: _changed(value[key], chance)}


def _header(content: bytes, chance: Random) -> bytes:
    """The JSON in front of a safetensors file, with a length that fits."""
    (size,) = struct.unpack("<Q", content[:8])
    header = _node(content[8 : 8 + size], chance)
    return struct.pack("<Q", len(header)) + header + content[8 + size :]


def _numbers(content: bytes, chance: Random) -> bytes:
    """Numbers of a safetensors file that are none, or huge."""
    (size,) = struct.unpack("<Q", content[:8])
    begin = 8 + size + 4 * chance.randrange((len(content) - 8 - size) // 4)
    odd = struct.pack("<f", chance.choice((float("nan"), float("inf"), -1e38, 0.0, 1e30)))
    return content[:begin] + odd + content[begin + 4 :]


def _entry(content: bytes, chance: Random) -> bytes:
    """An array of a .npz or .npy that is gone, has another type, or another shape."""
    loaded = np.load(io.BytesIO(content), allow_pickle=False)
    arrays = {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    key = chance.choice(list(arrays))
    value = arrays.pop(key)
    odd = [value[:1], value[None], value.T, value[:0], np.array(3), value != value]
    odd += [value.astype(str), value.astype(object).astype("U3")]
    odd += [np.full(value.shape, one) for one in (np.nan, 1 << 40, 1j)]
    place = chance.randint(0, len(odd))
    if place < len(odd) and chance.random() < 0.9:
        arrays[key if chance.random() < 0.8 else chance.choice(("labels", "split", "fold", "other"))] = odd[place]
    buffer = io.BytesIO()
    if "" in arrays or isinstance(loaded, np.ndarray):
        np.save(buffer, arrays.get("", np.array(0)))
    else:
        np.savez(buffer, **arrays)
    return buffer.getvalue()


def _column(content: bytes, chance: Random) -> bytes:
    """A column of a Parquet file that is gone, has another name, another type, or odd values."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(content))
    place = chance.randrange(table.num_columns)
    name, column = table.column_names[place], table.column(place)
    cells = (None, "x", -1, 1.5, b"\xff", float("nan"), [1, None], {"bytes": None, "path": None}, {"a": 1})
    way = chance.choice(("gone", "name", "values", "twice", "no rows"))
    if way == "gone":
        table = table.remove_column(place)
    elif way == "name":
        table = table.rename_columns([chance.choice(TEXTS) if one == name else one for one in table.column_names])
    elif way == "values":
        table = table.set_column(place, name, pa.array([chance.choice(cells)] * len(column)))
    elif way == "twice":
        table = table.append_column(name, column)
    else:
        table = table.slice(0, 0)
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


_ANY: tuple[Mutation, ...] = (_flip_bits, _cut, _take_out, _double, _insert, _overwrite, _swap)
_TEXT: tuple[Mutation, ...] = (_word, _word, _line)
_OF_SUFFIX: dict[str, tuple[Mutation, ...]] = {
    ".csv": (_cell, _cell, _cell, _cell, *_TEXT),
    ".json": (_node, _node, _node, _node, _node, _node, *_TEXT),
    ".jsonl": (_json_line, _json_line, _json_line, *_TEXT),
    ".npy": (_entry,) * 4,
    ".npz": (_entry,) * 6,
    ".parquet": (_column,) * 6,
    ".safetensors": (_header, _header, _header, _numbers, _numbers),
}
