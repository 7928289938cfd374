"""How often captions speak of absence (the paper's Figure 2): counted over as many captions as there are.

A regular expression picks the few captions that hold a word of absence, a batch at a time and without Python; each of
those is then judged by `promptmlr.paper.captions.words.absence_uses`. Memory does not grow with the captions.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

import pyarrow as pa
import pyarrow.compute as pc

from promptmlr.paper.captions.words import TRIGGERS, WORDS, absence_uses

__all__ = ["CaptionCount", "Sample", "WordCount", "count_captions"]


class Sample:
    """Some of many items, each set of them equally likely (reservoir sampling, Vitter's algorithm R).

    Args:
        size: how many to keep.
        seed: same seed and items, same sample.
    """

    def __init__(self, size: int, seed: str) -> None:
        self.kept: list[str] = []
        self._size, self._seen, self._random = size, 0, Random(seed)

    def offer(self, item: str) -> None:
        """Show the next item."""
        self._seen += 1
        if len(self.kept) < self._size:
            self.kept.append(item)
        elif (place := self._random.randrange(self._seen)) < self._size:
            self.kept[place] = item


@dataclass
class WordCount:
    """Captions with one word, each counted once for it.

    Attributes:
        of_a_thing: a random sample of those where some use of it is the absence of a thing.
        other: a random sample of those where none is.
        captions: how many have the word.
        absences: how many of them say by it that a thing is absent.
    """

    of_a_thing: Sample
    other: Sample
    captions: int = 0
    absences: int = 0

    def add(self, caption: str, of_a_thing: bool) -> None:
        """Count a caption that has the word."""
        self.captions += 1
        self.absences += of_a_thing
        (self.of_a_thing if of_a_thing else self.other).offer(caption)


@dataclass
class CaptionCount:
    """What was found.

    Attributes:
        captions: how many hold text.
        blank: rows that are null or empty, not among `captions`.
        with_word: captions with a word of absence.
        absences: captions that say that a thing is absent.
        by_word: one count for each of `WORDS`; a caption with two words counts for both.
    """

    captions: int = 0
    blank: int = 0
    with_word: int = 0
    absences: int = 0
    by_word: dict[str, WordCount] = field(default_factory=dict)

    def add(self, caption: str) -> None:
        """Count the words of a caption that may hold some."""
        said: dict[str, bool] = {}
        for use in absence_uses(caption):
            said[use.word] = said.get(use.word, False) or use.of_a_thing
        self.with_word += bool(said)
        self.absences += any(said.values())
        for word, of_a_thing in said.items():
            self.by_word[word].add(caption, of_a_thing)


def count_captions(
    batches: Iterable[pa.Array],
    *,
    samples: int = 0,
    seed: int = 0,
    progress: Callable[[int], None] = lambda _captions: None,
) -> CaptionCount:
    """Count words of absence.

    Args:
        batches: arrays of strings, such as `read_captions` gives.
        samples: how many captions to keep per word, of either kind of use.
        seed: of the samples; the same captions in the same order give the same samples.
        progress: called with the number of captions so far.
    """
    count = CaptionCount()
    for word in WORDS:
        of_a_thing, other = (Sample(samples, f"{seed} {word} {kind}") for kind in ("thing", "other"))
        count.by_word[word] = WordCount(of_a_thing, other)
    for batch in batches:
        empty = pc.sum(pc.equal(pc.binary_length(batch), 0)).as_py() or 0
        count.blank += batch.null_count + empty
        count.captions += len(batch) - batch.null_count - empty
        candidates = batch.filter(pc.match_substring_regex(batch, TRIGGERS, ignore_case=True))
        for caption in candidates.cast(pa.binary()).to_pylist():
            count.add(caption.decode("utf-8", "replace"))  # one bad byte must not end a count of millions
        progress(count.captions)
    return count
