"""What the cells of a table say: present, absent or unknown."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from promptmlr.errors import UserError
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN

__all__ = ["MEANINGS", "Codes", "cell_key"]

MEANINGS = {"present": PRESENT, "absent": ABSENT, "unknown": UNKNOWN}
_PAIRS = (("1", "0"), ("1.0", "0.0"), ("yes", "no"), ("y", "n"), ("true", "false"))
_EXAMPLES = {
    "present": ("1", "x", "yes", "present"),
    "absent": ("0", "no", "-", "absent"),
    "unknown": ("", "?", "-1", "unknown"),
}  # cells that may get this meaning
_FREE = {"present": ("1", "x", "yes"), "absent": ("0", "no", "-"), "unknown": ("", "?", "-1")}  # if no cell says it
_WHOLE = re.compile(r"([+-]?[0-9]{1,9})(?:[.,]0*)?")
_CODE = re.compile(rf"(.*?)=\s*({'|'.join(MEANINGS)})\s*(?:,|\Z)", re.DOTALL)
_MEANT = re.compile(rf"=\s*({'|'.join(MEANINGS)})\b")
_EXAMPLE = "such as --codes 1=present,0=absent,-1=unknown,=unknown"


def cell_key(cell: str) -> str:
    """What cells that say the same have in common: letters are small, 1.0 and 1,0 are 1, NaN is blank."""
    text = cell.strip().lower()
    whole = _WHOLE.fullmatch(text)
    return str(int(whole[1])) if whole else "" if text == "nan" else text


@dataclass(frozen=True)
class Codes:
    """The codes of a table.

    Attributes:
        labels: key of a cell → 1 present, 0 absent, -1 unknown.
        texts: label → the text that was named for it first; empty where nobody said how cells are written.
    """

    labels: Mapping[str, int]
    texts: Mapping[int, str]

    @classmethod
    def of(cls, said: str | None) -> Self:
        """The codes of `--codes`, and where nothing is said those of every table.

        Raises:
            UserError: this is no list of codes, or a cell would say two things.
        """
        if said is None:
            usual = {cell_key(text): label for pair in _PAIRS for text, label in zip(pair, (1, 0), strict=True)}
            return cls({**usual, "": UNKNOWN}, {})
        labels: dict[str, int] = {}
        texts: dict[int, str] = {}
        position = 0
        while position < len(said):
            match = _CODE.match(said, position)
            if match is None or _MEANT.search(match[1]):
                raise UserError(
                    f"--codes: cannot read {said[position:]!r}; write CELL=present, =absent or =unknown, {_EXAMPLE}"
                )
            text, label = match[1].strip(), MEANINGS[match[2]]
            if labels.setdefault(cell_key(text), label) != label:
                raise UserError(f"--codes {said}: a cell {text!r} would say two things; keep one of them")
            texts.setdefault(label, text)
            position = match.end()
        return cls(labels, texts)

    def label(self, cell: str) -> int | None:
        """What a cell says; None where it is no code."""
        return self.labels.get(cell_key(cell))

    def spelled(self, label: int, cells: Iterable[str]) -> str:
        """How a table writes a label: as other cells do, as `--codes` does, or to match the opposite (Yes and No).

        Unknown is blank where nothing else says it.

        Args:
            label: 1 present, 0 absent or -1 unknown.
            cells: of the table.

        Raises:
            UserError: no code says this.
        """
        seen = {known: cell.strip() for cell in reversed(list(cells)) if (known := self.label(cell)) is not None}
        if label in seen or self.texts:
            text = seen.get(label, self.texts.get(label))
            if text is None:
                (meaning,) = (word for word, one in MEANINGS.items() if one == label)
                free = next((one for one in _FREE[meaning] if cell_key(one) not in self.labels), "CELL")
                raise UserError(f"no code says {meaning}; add one to --codes, such as {free}={meaning}")
            return text
        if label == UNKNOWN:
            return ""
        opposite = seen.get(1 - label, "")
        for pair in _PAIRS:
            if opposite.lower() == pair[label]:  # (present, absent)[label] is the other one's
                text = pair[1 - label]
                return text.upper() if opposite.isupper() else text.title() if opposite.istitle() else text
        return str(label)
