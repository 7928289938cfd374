"""What cells that are no code yet most likely say, and the `--codes` that say it."""

import re
from collections.abc import Collection, Mapping, Sequence

from promptmlr.data.codes import MEANINGS, Codes, cell_key, number_in
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN

__all__ = ["amounts", "code_readings", "is_word"]

_WORDS = {
    **dict.fromkeys(("1", "yes", "y", "true", "x", "✓", "✔", "✔️", "✅", "☑", "●", "+"), PRESENT),
    **dict.fromkeys(("present", "positive", "pos", "p", "checked", "t", "on"), PRESENT),
    **dict.fromkeys(("ja", "j", "wahr", "oui", "vrai", "sí", "si", "sim", "да", "是", "はい", "tak"), PRESENT),
    **dict.fromkeys(("0", "no", "n", "false", "absent", "negative", "neg", "unchecked", "f", "off"), ABSENT),
    **dict.fromkeys(
        ("☐", "✗", "✘", "❌", "nein", "falsch", "non", "faux", "não", "нет", "否", "いいえ", "nie"), ABSENT
    ),
    **dict.fromkeys(("", "?", "na", "n/a", "none", "null", "-9", "-99", "-999", "-9999", "99", "999", "9999"), UNKNOWN),
    **dict.fromkeys(("unknown", "u", "uncertain", "unsure", "not sure", "maybe", "unclear"), UNKNOWN),
}
"""What a cell most likely says; -1 and - say absent to some and unknown to others."""
_EITHER = ("-1", "-")
_MARKS = {"x": "o", "×": "○"}
"""Pairs of marks: the first is present to some (a cross), the second to others (as in Japan)."""
_RUNS = re.compile(r"\d+( \d+)+")  # of the pixels of a mask
_CERTAIN = "only the whole and nothing are labels"


def is_word(cell: str) -> bool:
    """Whether a cell is a usual way to say present, absent or unknown."""
    key = cell_key(cell)
    return key in _WORDS or key in _EITHER or key in _MARKS or key in _MARKS.values()


def amounts(columns: Sequence[tuple[str, Mapping[str, int]]]) -> tuple[str, dict[str, str]] | None:
    """What columns of numbers, masks or names say, in words, and when → the codes that read them; None for all others.

    Args:
        columns: the name of each, and its different cells.
    """
    cells = {cell for _, counts in columns for cell in counts}
    blank, filled = "" in cells, cells - {""}
    known = ",=unknown" if blank else ""
    if all(map(_RUNS.fullmatch, filled)):
        return "masks", {"blank is absent": "*=present,=absent"} if blank else {}
    if all(cell == name for name, counts in columns for cell in counts if cell):
        meant = {"unknown": "*=present,=unknown", "absent": "*=present,=absent"}
        return "names of their columns", {f"blank is {word}": codes for word, codes in meant.items()}
    numbers = [number_in(cell) for cell in filled]
    if None in numbers or min(number for number in numbers if number is not None) < 0:
        return None
    whole = all(number is None or number.is_integer() for number in numbers)
    percent = any(cell.endswith("%") for cell in filled)
    if percent or (not whole and max(number or 0 for number in numbers) <= 1):
        half, one, sign = ("50", "100", "%") if percent else ("0.5", "1", "")
        return "percentages" if percent else "numbers between 0 and 1", {
            f"{half}{sign} or more is present": f">={half}{sign}=present,<{half}{sign}=absent{known}",
            _CERTAIN: f">={one}{sign}=present,<=0{sign}=absent,>0{sign}=unknown{known}",
        }
    if whole and all("0" in map(cell_key, counts) for _, counts in columns):
        return "counts", {"one or more is present": f">0=present,0=absent{known}"}
    return None


def code_readings(texts: Collection[str], codes: Codes) -> dict[str, dict[str, str]] | None:
    """When → codes of all cells, where it is likely what those say that are no code yet."""
    spelled: dict[str, str] = {}
    for text in texts:
        spelled.setdefault(cell_key(text), text)
    if not all(key in codes.labels or is_word(key) for key in spelled):
        return None
    said = codes.labels if codes.texts else {}
    for cross, ring in _MARKS.items():
        if cross in spelled and ring in spelled and not {cross, ring} & said.keys():
            ways = ((cross, ring), (ring, cross))
            codings = [
                {"codes": _written({**said, **_sure(spelled, said), a: PRESENT, b: ABSENT}, spelled)} for a, b in ways
            ]
            return {f"{spelled[a]} is present": coding for (a, _), coding in zip(ways, codings, strict=True)}
    sure = _sure(spelled, said)
    open_blank = "" in spelled and "" not in said and ABSENT not in sure.values()
    either = [key for key in spelled if key in _EITHER and key not in said]
    if either and "0" in sure and "" in sure:
        choices: dict[str, dict[str, int]] = {"": dict.fromkeys(either, UNKNOWN)}
    elif either and "0" in sure:
        choices = {
            f"{spelled[either[0]]} is unknown": dict.fromkeys(either, UNKNOWN),
            f"{spelled[either[0]]} is absent and 0 unknown": {**dict.fromkeys(either, ABSENT), "0": UNKNOWN},
        }
    elif either:
        choices = {
            f"{spelled[either[0]]} is absent": dict.fromkeys(either, ABSENT),
            f"{spelled[either[0]]} is unknown": {
                **dict.fromkeys(either, UNKNOWN),
                **({"": ABSENT} if open_blank else {}),
            },
        }
    elif "" in spelled and (open_blank or (codes.texts and "" not in said)):
        choices = {"blank is unknown": {"": UNKNOWN}, "blank is absent": {"": ABSENT}}
    else:
        choices = {"": {}}
    return {when: {"codes": _written({**said, **sure, **more}, spelled)} for when, more in choices.items()}


def _sure(spelled: Mapping[str, str], said: Mapping[str, int]) -> dict[str, int]:
    marks = dict.fromkeys((*_MARKS, *_MARKS.values()), PRESENT)  # where there is one of a pair alone
    return {key: {**marks, **_WORDS, **said}[key] for key in spelled if key in marks or key in _WORDS or key in said}


def _written(labels: Mapping[str, int], spelled: Mapping[str, str]) -> str:
    return ",".join(
        f"{spelled.get(key, key)}={meaning}"
        for meaning, label in MEANINGS.items()
        for key, one in sorted(labels.items(), key=lambda item: item[0] == "")
        if one == label
    )
