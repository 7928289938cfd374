"""Symmetries of a whole recognizer."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from promptmlr.recognizer import Recognizer
from promptmlr.sides import EmbeddingSide, LinearSide, Side

KINDS = st.sampled_from(["embedding", "linear"])


def side(kind: str, rows: list[int], seed: int, name: str) -> Side:
    """The rows `rows` of a side over five classes."""
    if kind == "linear":
        whole = LinearSide.random(5, 6, seed, name).projector
        return LinearSide(whole.weight[rows].detach(), whole.bias[rows].detach())
    return EmbeddingSide(EmbeddingSide.random(5, 6, seed, name).embedding[rows])


def recognizer(kinds: tuple[str, str], rows: list[int], seed: int, weighting) -> Recognizer:
    presence, absence = kinds
    names = [str(row) for row in rows]
    return Recognizer(
        side(presence, rows, seed, "presence"), side(absence, rows, seed, "absence"), names, weighting
    ).double()


@given(
    st.tuples(KINDS, KINDS),
    st.permutations(range(5)),
    st.integers(1, 5),
    st.permutations(range(7)),
    st.sampled_from(["presence", "own"]),
    st.integers(0, 1000),
)
def test_classes_do_not_talk_to_each_other_and_regions_have_no_order(
    kinds: tuple[str, str], classes: list[int], kept: int, order: list[int], weighting, seed: int
) -> None:
    """Any choice and order of classes gives those columns of the logits, whatever the order of the regions."""
    regions = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 7, 6)))
    whole = recognizer(kinds, list(range(5)), seed, weighting)(regions)
    part = recognizer(kinds, classes[:kept], seed, weighting)(regions[:, order])
    torch.testing.assert_close(part, whole[:, :, classes[:kept]])
