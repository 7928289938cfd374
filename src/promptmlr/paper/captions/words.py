"""When a caption states an absence: the words that can do so, and the rule that tells "no dog" from "no. 5".

Absence of a thing: the caption says of something that could be seen (an object, animal, person, part, substance or
mark) that it is not there: not in the picture, not on or in another thing, not worn, held or supplied. "Not a dog" and
"not a photo of a dog" count, for they say that there is none.

Other uses: numbers ("no. 5"), idioms ("not only", "nothing but"), actions and qualities denied ("not sleeping", "isn't
happy"), what cannot be seen ("no time", "without permission"), offers ("with or without arms") and prohibitions: "no
parking sign" and "no dogs allowed" state a rule, and the thing may well be in the picture.

Out of reach: languages other than English, and absence said by other means ("empty", "treeless", "sugar-free"). A word
is judged by the words around it, without grammar, so the rule errs; `promptmlr.paper.captions.check` says how
often on sentences written to measure it.
"""

import re
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase

__all__ = ["TRIGGERS", "WORDS", "Use", "absence_uses"]


@dataclass(frozen=True)
class Use:
    """One word of absence in a caption.

    Attributes:
        word: one of `WORDS`.
        of_a_thing: whether it says that something that could be seen is not there.
    """

    word: str
    of_a_thing: bool


@dataclass(frozen=True)
class _Rule:
    """A use is of a thing if `after` or `before` allows it and neither `but_after` nor `but_before` forbids it.

    Attributes:
        trigger: the word's forms; no capturing groups.
        after: matched where the word ends.
        before: searched in the text up to the word.
        but_after: matched where the word ends.
        but_before: searched in the text up to the word.
    """

    trigger: str
    after: str = r"(?!)"
    before: str = r"(?!)"
    but_after: str = r"(?!)"
    but_before: str = r"(?!)"

    def holds(self, before: str, after: str) -> bool:
        """Whether the word between these two pieces of text states the absence of a thing."""
        allowed = re.match(self.after, after) or re.search(self.before, before)
        return bool(allowed) and not (re.match(self.but_after, after) or re.search(self.but_before, before))


def _any(words: str) -> str:
    """A pattern for one of these words; `_` joins words into a phrase."""
    return "(?:" + "|".join(word.replace("_", " ") for word in words.split()) + ")"


_THERE_BE = r"\bthere(?:'s| (?:is|are|was|were|has been|have been)) "
_HAS = _any("has have had having with wears? wearing wore holds? holding carry carries carrying contains? containing")
_PLACE = _any(
    "on in at inside under beneath underneath behind beside near around above over between beyond by next_to there here"
    " outside visible to_be_seen"
)
# What no picture shows. "No X" wrongly counted as absence of a thing: X belongs here.
_UNSEEN = _any(
    "access avail boundaries care cause chance charge choice clue comments? commitment compromise confidence connection"
    " consent contract control cost credit_card deadline delay deposit difference difficulty doubt drama effort end"
    " ending energy equal evidence exceptions? excuses? experience fail fault fears? fees? focus freedom further"
    " guarantee guilt harm hesitation hope hurry ideas? information interest interruptions? issues? joke justice"
    " knowledge lie limits? limitations? longer loss love luck matter means mercy minimum mistakes? money motivation"
    " need notice obligation order pain patience peace permission point pressure problems? purchase purpose questions?"
    " reason regrets? reserve respect rest risks? rules? sense shame side_effects skills? sleep strangers? stress"
    " strings_attached success support surprises? talent tax thanks time trouble trust turning_back understanding use"
    " value warning warranty way wonder words worries worry"
)
# Words in -ing that name a thing; all others name an action.
_THING_IN_ING = _any(
    "awning bedding being building ceiling clothing coating covering dressing duckling earring fencing filling flooring"
    " frosting furnishing gosling icing king landing lettering lighting lightning lining marking packaging padding"
    " painting piping plumbing pudding railing ring sapling seating seedling sibling siding string stuffing swing thing"
    " topping trimming wing wiring wrapping writing"
)
_SUPPLIED = _any(
    "included pictured shown visible present attached supplied provided to_be_seen in_sight in_view"
    " in_(?:the|this)_(?:picture|photo|image|frame|shot|scene)"
)
# Parts that captions miss without an article before them.
_PART = _any(
    "arms? bolts? boards? bricks? buttons? doors? eyes? fingers? handles? heads? keys? leaves legs? letters? lids?"
    " pages? paint panels? parts? pieces? planks? roof screws? shingles? shoes? slats? teeth tiles? tires? tooth"
    " wheels? windows?"
)
_UNSEEN_NEXT = rf" (?:(?:an?|any|one|some|the|its|his|her|their) )?(?:[\w'-]+ )?{_UNSEEN}\b"
_ACTION_NEXT = rf" (?!{_THING_IN_ING}s?\b)\w+ing\b"
_WEARING_NEXT = (
    r" (?:wear|hold|carry|contain|includ|hav|show|featur|display|own|get|got|bear)(?:e|s|es|ing)?"
    r" (?!(?:to|been|back|on|in|up)\b)\w"
)

_DENIED = {  # of "not" and "n't"
    "after": (
        rf"(?: (?:yet|currently|really|even))?(?:{_WEARING_NEXT}| (?:an?|any|one|even) \w"
        rf"| (?:see|find) (?:an?|any|one)\b| {_SUPPLIED}\b)"
    ),
    "before": r"\bthere(?: (?:is|are|was|were))? $",
    "but_after": rf"{_UNSEEN_NEXT}| (?:an? )?"
    + _any(
        "always bad big bit chance day drill enough fan good great joke just lot moment morning_person much only"
        " really_a single_thing step toy very word"
    )
    + r"\b",
}

_RULES = {
    "nobody": _Rule(  # before "no", for it takes "no one"
        "nobody|no[ -]one",
        after=rf" (?:else )?(?:(?:is |are |was )?{_PLACE}|(?:is|was) \w+ing)\b",
        before=rf"(?:{_THERE_BE}|\b{_HAS} )$",
        but_after=r" (?:by name|on earth|like)\b",
    ),
    "no": _Rule(
        "no",
        after=r" \(?[a-z]",
        but_after=rf"{_UNSEEN_NEXT}|{_ACTION_NEXT}"
        r"| (?:[\w'-]+ ){1,3}(?:signs?|allowed|permitted|zone|please|required|needed|necessary|available|found)\b| "
        + _any(
            "entry exit entrance left right u-turns? sew bake cook knead good bad big easy ordinary mere different"
            " small more less fewer better worse other deal man's to and or but i you it he she we they the"
        )
        + r"\b",
        but_before=r"(?:\b"
        + _any("yes_or yes_and says? saying said reads? reading oh dr\\.? just answer_is an? the in by of to under at")
        + r"|yes/) ?[\"'“:]?$",
    ),
    "without": _Rule(
        "without|w/o",
        after=r" [a-z]",
        but_after=rf"{_UNSEEN_NEXT}|(?!{_WEARING_NEXT}){_ACTION_NEXT}| (?:you|me|him|us|them|it|her$|or)\b",
        but_before=r"\bwith ?(?:or|and|&|/) ?$",
    ),
    "not": _Rule("not|cannot", **_DENIED),
    "n't": _Rule(r"\w*n['’]t|(?:is|are|was|were|do|does|did|has|have|had)nt", **_DENIED),
    "never": _Rule("never", after=rf" (?:{_HAS} )?(?:an?|any)\b", before=rf"{_THERE_BE}$", but_after=_UNSEEN_NEXT),
    "none": _Rule(
        "none",
        after=rf" (?:of (?!your\b)(?:[\w'-]+ ){{1,4}}?)?(?:(?:is|are|was|were) )?(?:{_HAS}|{_PLACE})\b",
        before=rf"{_THERE_BE}$",
        but_after=r" (?:other|the)\b",
    ),
    "nothing": _Rule(
        "nothing",
        after=rf" (?:else )?{_PLACE}\b",
        before=rf"(?:{_THERE_BE}|\b{_HAS} )$",
        but_after=r" (?:but|like|to|less|more|in common|in life|in (?:the|this) world|wrong|special|new)\b",
    ),
    "neither": _Rule(
        "neither",
        after=rf" (?:an?|of (?:[\w'-]+ ){{1,4}}?{_HAS}|{_HAS})\b",
        before=rf"(?:{_THERE_BE}|\b{_HAS} )$",
    ),
    "lacking": _Rule(
        "lack(?:s|ed|ing)?", after=r" (?!in\b)[a-z]", but_after=rf"(?: of)?(?: {_UNSEEN}\b|{_UNSEEN_NEXT})"
    ),
    "absent": _Rule(
        "absent|absence",
        after=r" (?:of|from|in)\b|[.,;!]?$",
        but_after=rf" (?:of)?{_UNSEEN_NEXT}| from (?:school|work|class|duty)\b",
        but_before=r"\bleave of $",
    ),
    "missing": _Rule(
        "missing",
        after=r" (?:an?|its|his|her|their|one|two|three|some|several|many|most|all|both|any)\b|[.,;!]?$"
        rf"| from (?:the|an?|its)\b| (?:(?:front|back|left|right|rear) )?{_PART}\b",
        before=r"\b(?:with|has|have|had)(?: (?:an?|the|some|several|its|his|her|their|one|two|three))? $",
        but_after=_UNSEEN_NEXT,
        but_before=r"\b(?:go|goes|gone|going|went|reported|still) $",
    ),
    "devoid of": _Rule("devoid", after=r" of [a-z]", but_after=rf" of{_UNSEEN_NEXT}"),
    "free of": _Rule(r"free\W+(?:of|from)", after=r" [a-z]", but_after=_UNSEEN_NEXT),
}

WORDS = tuple(_RULES)
"""The words counted; "n't" stands for isn't, don't, ..., "not" for cannot too, "lacking" for lack, lacks, lacked."""

TRIGGERS = r"\b(?:" + "|".join(f"({rule.trigger})" for rule in _RULES.values()) + r")\b"
"""Where a word of absence can stand, one group per word. RE2 and Python's `re` read it alike; matched without case."""

_COMPILED = re.compile(TRIGGERS)
# RE2 knows ASCII words only: the Kelvin sign, which `lower` makes a k, would be a letter here and none there.
_PLAIN = str.maketrans(ascii_uppercase + "’", ascii_lowercase + "'")
_REACH = 100  # letters to either side that can decide about a word


def absence_uses(caption: str) -> list[Use]:
    """The words of absence in a caption, from left to right; empty for nearly all captions.

    This is the complete rule; `count_captions` only skips captions that do not match `TRIGGERS`.
    """
    text = " ".join(caption.translate(_PLAIN).split())
    uses = []
    for match in _COMPILED.finditer(text):
        start, end = match.span()
        word = WORDS[(match.lastindex or 0) - 1]
        uses.append(Use(word, _RULES[word].holds(text[max(start - _REACH, 0) : start], text[end : end + _REACH])))
    return uses
