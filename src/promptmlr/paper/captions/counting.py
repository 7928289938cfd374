"""How often captions state an absence (the paper's Figure 2), counted over any number of captions.

A vectorised regular expression selects the few captions that hold a word of absence, a batch at a time; each of these
is then judged by `promptmlr.paper.captions.words.absence_uses`. Memory does not grow with the number of captions.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

import pyarrow as pa
import pyarrow.compute as pc

from promptmlr.paper.captions.words import TRIGGERS, WORDS, absence_uses

__all__ = ["CaptionCount", "Sample", "WordCount", "count_captions"]


class Sample:
    """A uniform random sample of a stream of items (reservoir sampling, Vitter's algorithm R).

    Args:
        size: number of items to keep.
        seed: the same seed and items give the same sample.
    """

    def __init__(self, size: int, seed: str) -> None:
        self.kept: list[str] = []
        self._size, self._seen, self._random = size, 0, Random(seed)

    def offer(self, item: str) -> None:
        """Show the next item."""
        self._seen += 1
        if len(self.kept) < self._size:
            self.kept.append(item)
        elif (index := self._random.randrange(self._seen)) < self._size:
            self.kept[index] = item


@dataclass
class WordCount:
    """Captions with one word, each counted once for it.

    Attributes:
        of_a_thing: a random sample of those in which it states the absence of a thing.
        other: a random sample of the others.
        captions: how many have the word.
        absences: in how many of them it states the absence of a thing.
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
    """Counts over captions.

    Attributes:
        captions: number of captions with text.
        blank: number of null or empty rows, not among `captions`.
        with_word: captions with a word of absence.
        absences: captions that state the absence of a thing.
        by_word: one count for each of `WORDS`; a caption with two words counts for both.
    """

    captions: int = 0
    blank: int = 0
    with_word: int = 0
    absences: int = 0
    by_word: dict[str, WordCount] = field(default_factory=dict)

    def add(self, caption: str) -> None:
        """Count the words of absence of a caption, which may have none."""
        found: dict[str, bool] = {}
        for use in absence_uses(caption):
            found[use.word] = found.get(use.word, False) or use.of_a_thing
        self.with_word += bool(found)
        self.absences += any(found.values())
        for word, of_a_thing in found.items():
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
