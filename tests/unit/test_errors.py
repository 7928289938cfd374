"""The end of an error about an unknown word."""

from collections.abc import Sequence

import pytest

from promptmlr.errors import EnvironmentFault, UserError, nearest


@pytest.mark.parametrize(
    ("word", "known", "end"),
    [
        ("positvecoop", ("baseline", "positivecoop"), "did you mean 'positivecoop'?"),
        ("POSITIVECOOP", ("baseline", "positivecoop"), "did you mean 'positivecoop'?"),
        ("vit-b32", ("RN50", "ViT-B-32", "ViT-L-14"), "did you mean 'ViT-B-32'?"),
        ("rn5", ("RN50", "ViT-B-32"), "did you mean 'RN50'?"),
        ("xyz", ("one", "Two"), "known: one, Two"),
        ("", ("one", "Two"), "known: one, Two"),
        ("xyz", [f"c{i}" for i in range(3000)], "known: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 and 2,990 more"),
    ],
)
def test_the_nearest_known_word_or_the_first_of_them(word: str, known: Sequence[str], end: str) -> None:
    """Case does not count, and what is named is spelt as it is known."""
    assert nearest(word, known) == end
    assert nearest(word, iter(known)) == end


def test_mistakes_and_faults_are_told_apart() -> None:
    assert not issubclass(UserError, EnvironmentFault)
    assert not issubclass(EnvironmentFault, UserError)
