"""Options refuse what they cannot mean, have a help text each, and are written down and read again."""

import dataclasses
from pathlib import Path

import pytest
from docstring_parser import parse

from promptmlr import options
from promptmlr.errors import UserError
from promptmlr.labels import Observation
from promptmlr.options import DataOptions, HidingOptions, MaskOptions, PromptOptions, RecipeOptions
from promptmlr.recipes import Recipe, load_recipe

GROUPS = [getattr(options, name) for name in options.__all__ if name.endswith("Options")]


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_has_a_help_text_and_a_default(group: type) -> None:
    told = {part.arg_name for one in group.__mro__[:-1] for part in parse(one.__doc__ or "").params}
    assert told == {field.name for field in dataclasses.fields(group)}
    group()


@pytest.mark.parametrize(
    ("group", "given", "words"),
    [
        (HidingOptions, {"seed": -1}, "seed is -1; give a whole number from 0"),
        (RecipeOptions, {"epochs": 0}, "epochs is 0; give a whole number from 1"),
        (RecipeOptions, {"start": "agnostik"}, "unknown choice 'agnostik' for start; did you mean 'agnostic'?"),
        (PromptOptions, {"prior_strength": "autu"}, "did you mean 'auto'?"),
        (PromptOptions, {"prior_strength": -3.0}, "--prior-strength -3: it is auto, infinite or a number above 0"),
        (PromptOptions, {"prior_strength": float("nan")}, "--prior-strength nan"),
        (DataOptions, {"delimiter": ""}, "delimiter is empty"),
        (MaskOptions, {"observed": "0.5", "labels": 3}, "--observed and --labels both say"),
        (MaskOptions, {"unknown_code": "-1"}, "--unknown-code is about a --mask"),
    ],
)
def test_what_cannot_be_meant_is_refused(group: type, given: dict, words: str) -> None:
    with pytest.raises(UserError) as caught:
        group(**given)
    assert words in str(caught.value)


def test_blank_may_be_a_code() -> None:
    assert MaskOptions(mask=Path("labels.csv"), unknown_code="").unknown_code == ""


def test_what_was_said_of_labels_is_recorded_and_the_rest_is_not() -> None:
    said = DataOptions(format="list-csv", unlisted="absent", images=Path("photos"), skip_unreadable=True)
    assert said.recorded() == {"format": "list-csv", "unlisted": "absent"}
    assert said.words() == ["--format", "list-csv", "--images", "photos", "--unlisted", "absent", "--skip-unreadable"]
    later = DataOptions(unlisted="unknown").or_else({**said.recorded(), "crowd": "absent"})
    assert (later.format, later.unlisted, later.crowd, later.images) == ("list-csv", "unknown", "absent", None)
    assert DataOptions().or_else({"images": "/etc", "nonsense": "1"}) == DataOptions()


def test_changes_are_those_that_a_recipe_takes() -> None:
    changes = PromptOptions(epochs=3, shared_context=True, prior_strength=2.0).changes()
    assert changes.keys() <= Recipe.model_fields.keys()
    recipe = load_recipe("default", "anchored", **changes)
    assert (recipe.epochs, recipe.class_specific, recipe.prior_strength) == (3, False, 2.0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Observation()),
        ({"observed": "single-positive"}, Observation("single-positive")),
        ({"labels": 40}, Observation("labels", 40)),
    ],
)
def test_labels_are_hidden_as_options_say(given: dict, expected: Observation) -> None:
    assert Observation.of(HidingOptions(**given)) == expected
