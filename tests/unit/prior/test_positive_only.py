"""Ticks are recognised before training, and something stands for absence then."""

import numpy as np
import pytest

from prior_support import recipe
from promptmlr.labels import UNKNOWN
from promptmlr.prior.positive_only import (
    POSITIVE_ONLY_COST,
    assume_negative,
    positive_only_classes,
    positive_only_note,
    resolve_unknown,
)

NAMES = ("cat", "dog", "owl")


def labels_of(*columns: str) -> np.ndarray:
    """(N, C) from a text per class: 1, 0 and . for unknown."""
    codes = {"1": 1, "0": 0, ".": UNKNOWN}
    return np.array([[codes[one] for one in column] for column in columns], np.int8).T


@pytest.mark.parametrize(
    ("columns", "ticked"),
    [
        (("111..", "0011.", "1.0.."), (True, False, False)),
        (("11...", "0011.", "1.0.."), (False, False, False)),  # two may be chance
        (("1....", ".....", "..1.."), (True, True, True)),  # nobody ever said what is absent
        (("1111.", ".....", "0...."), (True, False, False)),
        ((".....", ".....", "....."), (False, False, False)),  # no label, no tick
        (("0....", "..0..", "....."), (False, False, False)),
        (("1110.", "111..", "1.0.."), (False, True, False)),
    ],
)
def test_classes_of_ticks_are_those_that_are_present_alone(columns, ticked) -> None:
    assert tuple(positive_only_classes(labels_of(*columns))) == ticked


def test_only_what_nobody_ticked_is_taken_as_absent() -> None:
    given = labels_of("111..", "0011.", "1.0..")
    assert (assume_negative(given) == labels_of("11100", "0011.", "1.0..")).all()
    assert (given == labels_of("111..", "0011.", "1.0..")).all()
    blank = labels_of(".....", "....0", ".....")
    assert (assume_negative(blank) == blank).all()


def test_auto_is_settled_by_the_labels() -> None:
    both, found = resolve_unknown(recipe(), labels_of("10...", "01...", "1.0.."))
    assert (both.unknown, found.any()) == ("ignore", False)
    some, found = resolve_unknown(recipe(), labels_of("111..", "01...", "1.0.."))
    assert (some.unknown, found.tolist()) == (POSITIVE_ONLY_COST, [True, False, False])
    none, found = resolve_unknown(recipe(), labels_of(".....", ".....", "....."))
    assert (none.unknown, found.any()) == ("ignore", False)


@pytest.mark.parametrize("unknown", ["ignore", "absent", "weak", "entropy"])
def test_what_is_asked_for_holds_for_all_classes(unknown: str) -> None:
    for labels in (labels_of("10...", "01...", "1.0.."), labels_of("1....", ".1...", "1....")):
        kept, found = resolve_unknown(recipe(unknown=unknown), labels)
        assert kept.unknown == unknown
        assert found.tolist() == [unknown != "ignore"] * 3


def test_nothing_else_of_the_recipe_changes() -> None:
    kept, _ = resolve_unknown(recipe(epochs=7), labels_of("111..", "01...", "1.0.."))
    assert kept == recipe(epochs=7, unknown=POSITIVE_ONLY_COST)


def test_it_is_said_which_cost_was_taken() -> None:
    ticks, some = labels_of("1....", ".1...", "1...."), labels_of("111..", "01...", "1.0..")
    assert positive_only_note(recipe(), labels_of("10...", "01...", "1.0.."), NAMES) is None
    said = positive_only_note(resolve_unknown(recipe(), ticks)[0], ticks, NAMES)
    assert "no label says what is absent" in said
    assert f"--unknown {POSITIVE_ONLY_COST}" in said
    assert "promptmlr suggest" in said
    assert "--share" in said
    one = positive_only_note(resolve_unknown(recipe(), some)[0], some, NAMES)
    assert "no label says where these are absent: cat;" in one
    warned = positive_only_note(recipe(unknown="ignore"), ticks, NAMES)
    assert warned.startswith("warning: ")
    assert "no label contradicts presence" in warned
    assert not any("\n" in line for line in (said, one, warned))
