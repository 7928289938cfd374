"""Class names that CLIP is likely to misread, by rules over the name, its pieces, and the other names."""

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

__all__ = ["NameRemark", "Pieces", "name_remarks"]

_PROMPT = 16 + 3  # positions that a learned context, the full stop, start and end take of CLIP's 77
_POSITIONS = 77
_PIECES = 3  # of one word, from which on it is rare in CLIP's captions
_LONG = 20  # tokens that CLIP's text tower takes in well (Zhang et al., "Long-CLIP", arXiv 2403.15378)
_CLOSE = 0.9  # of the letters that two names share in order

Pieces = Callable[[str], list[str]]  # a text → the pieces that CLIP's tokenizer cuts it into

# What captions of photographs say more often with another meaning than a labeller may have.
_HOMOGRAPHS = {
    "apple": ("the fruit", "the company"),
    "bark": ("of a tree", "of a dog"),
    "bass": ("the fish", "the instrument"),
    "bat": ("the animal", "for baseball"),
    "bow": ("with arrows", "a ribbon"),
    "buck": ("a deer", "a dollar"),
    "calf": ("the animal", "of a leg"),
    "cardinal": ("the bird", "the priest"),
    "club": ("for golf", "for dancing"),
    "court": ("for tennis", "of law"),
    "crane": ("the bird", "the machine"),
    "date": ("the fruit", "the day"),
    "drill": ("the tool", "the monkey"),
    "duck": ("the bird", "tape"),
    "fan": ("that blows", "of a team"),
    "file": ("the tool", "for papers"),
    "fly": ("the insect", "to travel"),
    "glasses": ("for eyes", "for drinks"),
    "horn": ("of an animal", "of a car"),
    "iron": ("for clothes", "the metal"),
    "jaguar": ("the animal", "the car"),
    "jam": ("to eat", "of traffic"),
    "kiwi": ("the fruit", "the bird"),
    "light": ("a lamp", "not heavy"),
    "match": ("that burns", "a game"),
    "mole": ("the animal", "on skin"),
    "mouse": ("the animal", "of a computer"),
    "mustang": ("the horse", "the car"),
    "nail": ("of a finger", "for a hammer"),
    "orange": ("the fruit", "the colour"),
    "palm": ("the tree", "of a hand"),
    "pen": ("for writing", "for animals"),
    "pipe": ("for water", "for smoking"),
    "pitcher": ("the jug", "the player"),
    "plane": ("that flies", "the tool"),
    "plant": ("that grows", "a factory"),
    "pool": ("for swimming", "billiards"),
    "port": ("a harbour", "the wine"),
    "racket": ("for tennis", "noise"),
    "ray": ("the fish", "of light"),
    "remote": ("a control", "far away"),
    "ring": ("on a finger", "for boxing"),
    "rock": ("a stone", "the music"),
    "ruler": ("for measuring", "a king"),
    "scale": ("for weighing", "of a fish"),
    "seal": ("the animal", "the stamp"),
    "spring": ("the season", "of metal"),
    "stamp": ("on a letter", "the tool"),
    "star": ("in the sky", "a celebrity"),
    "swallow": ("the bird", "to eat"),
    "tank": ("the vehicle", "for water"),
    "temple": ("the building", "of a head"),
    "tie": ("around a neck", "to bind"),
    "train": ("on rails", "to exercise"),
    "trunk": ("of a tree", "of an elephant, of a car"),
    "turkey": ("the bird", "the country"),
    "watch": ("on a wrist", "to look"),
    "wave": ("of the sea", "of a hand"),
}
_SYNONYMS = [
    {"aeroplane", "airplane", "plane", "aircraft", "jet"},
    {"autumn", "fall"},
    {"automobile", "car"},
    {"bicycle", "bike", "cycle"},
    {"boat", "ship", "vessel"},
    {"bookcase", "bookshelf"},
    {"child", "kid"},
    {"couch", "sofa", "settee"},
    {"cup", "mug"},
    {"cupboard", "cabinet"},
    {"doughnut", "donut"},
    {"fridge", "refrigerator"},
    {"handbag", "purse"},
    {"lorry", "truck"},
    {"motorbike", "motorcycle"},
    {"ocean", "sea"},
    {"pavement", "sidewalk"},
    {"people", "person", "human", "pedestrian"},
    {"phone", "cell phone", "mobile phone", "smartphone", "telephone"},
    {"rabbit", "bunny"},
    {"road", "street"},
    {"rock", "stone"},
    {"tap", "faucet"},
    {"trash can", "garbage can", "bin", "dustbin"},
    {"tv", "television", "tv monitor", "tvmonitor", "monitor", "screen"},
    {"woods", "forest"},
]
_CODE = re.compile(r"(?:class|cls|label|cat|category|id|tag|object|obj)?[ \-#]*\d+|[nq]\d{4,}|\w*\d{3,}\w*")
_VOWELS = set("aeiouyàáâãäåæèéêëìíîïòóôõöøùúûüýœ")


@dataclass(frozen=True)
class NameRemark:
    """Something to know about a class name.

    Attributes:
        name: of the class.
        problem: in a few words.
        advice: what to do, in one line.
    """

    name: str
    problem: str
    advice: str


def name_remarks(class_names: Sequence[str], pieces: Pieces) -> list[NameRemark]:
    """What CLIP is likely to misread, class by class; pairs of names stand under the first.

    Args:
        class_names: C names.
        pieces: CLIP's tokenizer; a piece that ends a word ends in "</w>".
    """
    found = []
    for name in class_names:
        found += [NameRemark(name, *remark) for remark in _alone(name, pieces)]
    return found + list(_together(class_names))


def _alone(name: str, pieces: Pieces) -> Iterator[tuple[str, str]]:
    tokens = pieces(name)
    low = name.lower()
    if len(tokens) > _POSITIONS - _PROMPT:
        yield "too long", f"{len(tokens)} tokens do not fit after a context of 16 in CLIP's {_POSITIONS}; shorten it"
    elif len(tokens) > _LONG:
        yield "long", f"{len(tokens)} tokens, and CLIP takes in about {_LONG}; say it in two or three words"
    if _CODE.fullmatch(low):
        yield "a code", "CLIP reads words: give the class the name that a caption would use"
        return
    if not name.isascii() and any(ord(letter) > 0x24F for letter in name):
        yield "letters CLIP hardly knows", "its captions are English: translate the name"
        return
    if _is_abbreviation(name):
        yield "an abbreviation?", f"write {name!r} out, unless captions use it as it is"
    camel = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    if camel != name:
        yield "run together", f"write {camel.lower()!r}: CLIP reads it as the one word {low!r}"
        return
    for word in low.split():
        parts = pieces(word)
        apart = _apart(word, parts, pieces)
        if apart:
            yield "run together", f"write {name.lower().replace(word, apart)!r}"
        elif len(parts) >= _PIECES and word.isalpha():
            shown = "·".join(part.removesuffix("</w>") for part in parts) if word.isascii() else word
            yield (
                "a rare word",
                f"CLIP reads {shown} in {len(parts)} pieces; a commoner word, or one beside it, may help",
            )
    if low in _HOMOGRAPHS:
        one, other = _HOMOGRAPHS[low]
        yield "two meanings", f"{one}, or {other}? Add the word that tells them apart"


def _is_abbreviation(name: str) -> bool:
    for word in re.findall(r"[^\W\d_]+", name):
        if len(word) > 1 and word.isupper() and len(word) <= 5:
            return True
        if 1 < len(word) <= 5 and not set(word.lower()) & _VOWELS and word.lower() != "tv":
            return True
    return bool(re.search(r"\w\.\w?\.?$", name)) or name.endswith(".")


def _apart(word: str, parts: Sequence[str], pieces: Pieces) -> str | None:
    """Two words that a word is made of, where CLIP knows them and not the whole."""
    if not word.isascii() or not word.isalpha() or len(word) < 7 or len(parts) < 2:
        return None
    for cut in range(2, len(word) - 2):
        one, other = word[:cut], word[cut:]
        short = len(one) == 2
        likely = (len(parts) >= _PIECES or short) and (len(one) > 2 or one == "tv") and len(other) > 3
        if likely and pieces(one) == [f"{one}</w>"] and pieces(other) == [f"{other}</w>"]:
            return f"{one} {other}"
    return None


def _together(class_names: Sequence[str]) -> Iterator[NameRemark]:
    """Pairs that captions use for one thing, or that differ in a letter or two."""
    groups: dict[str, int] = {word: index for index, group in enumerate(_SYNONYMS) for word in sorted(group)}
    lows = [name.lower() for name in class_names]
    by_group: dict[int, int] = {}
    by_stem: dict[str, int] = {}
    for index, low in enumerate(lows):
        group = groups.get(low)
        if group is not None:
            first = by_group.setdefault(group, index)
            if first != index:
                yield _pair(class_names[first], class_names[index], "the same thing in captions")
        stem = re.sub(r"(?<=[^s])e?s$", "", re.sub(r"[\s\-]", "", low))
        first = by_stem.setdefault(stem, index)
        if first != index and groups.get(lows[first], -1) != group:
            yield _pair(class_names[first], class_names[index], "one name, spelled twice")
    if len(lows) > 500:  # comparing all letters of all pairs would take minutes
        return
    for i, one in enumerate(lows):
        for j in range(i + 1, len(lows)):
            other = lows[j]
            if min(len(one), len(other)) < 6 or abs(len(one) - len(other)) > 2 or one[0] != other[0]:
                continue
            if difflib.SequenceMatcher(None, one, other).ratio() >= _CLOSE and by_stem.get(one) != by_stem.get(other):
                yield _pair(class_names[i], class_names[j], "differ in a letter or two")


def _pair(first: str, second: str, problem: str) -> NameRemark:
    return NameRemark(f"{first}, {second}", problem, "merge them, or name what tells them apart")
