"""Recipes: what is shipped loads for every method, and what is written wrongly is named."""

from importlib.resources import files

import pytest
from pydantic import ValidationError

from promptmlr.errors import UserError
from promptmlr.methods import METHODS
from promptmlr.recipes import RECIPES, Recipe, load_recipe

WHOLE = """
[shared]
start = "text"
offset = "none"
optimizer = "adam"
context_rate = 0.1
embedding_rate = 0.2
linear_rate = 0.3
epochs = 3
"""


@pytest.fixture
def recipe(tmp_path):
    """Text → the recipe file that holds it."""

    def write(text: str):
        (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
        return tmp_path / "mine.toml"

    return write


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", RECIPES)
def test_every_shipped_recipe_loads_for_every_method(name: str, method: str) -> None:
    assert load_recipe(name, method).epochs >= 1


def test_the_shipped_recipes_are_those_named() -> None:
    shipped = [path.name for path in files("promptmlr.recipes").iterdir() if path.name.endswith(".toml")]
    assert sorted(shipped) == [f"{name}.toml" for name in RECIPES]
    assert list(RECIPES) == sorted(RECIPES)


def test_the_released_recipe_is_what_was_published() -> None:
    """Prompts at a hundredth of the rate of vectors, for PositiveCoOp's code; one rate for DualCoOp's."""
    ours, dual = load_recipe("released", "negativecoop"), load_recipe("released", "dualcoop")
    assert (ours.embedding_rate, ours.context_rate, ours.linear_rate) == (0.5, 0.005, 0.005)
    assert (ours.start, ours.offset, ours.optimizer, ours.momentum, ours.weight_decay) == (
        "random",
        "random",
        "sgd",
        0.9,
        0,
    )
    assert (ours.warmup_epochs, ours.warmup_rate, ours.epochs, ours.loss_weight) == (1, 5e-3, 52, 0.03)
    assert (dual.context_rate, dual.offset, dual.weight_decay, dual.warmup_rate) == (0.002, "none", 5e-4, 1e-5)


def test_a_method_differs_from_what_is_shared(recipe) -> None:
    path = recipe(WHOLE + "[method.dualcoop]\nepochs = 9\n")
    assert load_recipe(path, "positivecoop").epochs == 3
    assert load_recipe(path, "dualcoop").epochs == 9
    assert load_recipe(path, "dualcoop", epochs=5, batch_size=None).model_dump()["epochs"] == 5
    assert load_recipe(path, "dualcoop").batch_size == Recipe.model_fields["batch_size"].default


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        load_recipe("default", "dualcoop").epochs = 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (WHOLE + "epoch = 3\n", "unknown key 'epoch'; did you mean 'epochs'?"),
        (WHOLE + "[method.baseline]\nlearning = 1\n", "unknown key 'learning'; "),
        (WHOLE + "[method.positvecoop]\nepochs = 1\n", "unknown method 'positvecoop'; did you mean 'positivecoop'?"),
        (WHOLE + "[share]\n", "unknown table 'share'; did you mean 'shared'?"),
        ("epochs = 3\n" + WHOLE, "unknown table 'epochs'"),
        ("shared = 3\n", "3 stands where a table belongs"),
        ("method = [1]\n", "[1] stands where a table belongs"),
        ("[method]\ndualcoop = 'x'\n", "'x' stands where a table belongs"),
        (WHOLE.replace('"text"', '"texts"'), "start: input should be 'random', 'agnostic' or 'text'"),
        (WHOLE.replace("0.1", "-0.1"), "context_rate: input should be greater than 0"),
        (WHOLE.replace("0.1", "inf"), "context_rate: input should be a finite number"),
        (WHOLE.replace("0.1", "nan"), "context_rate: input should be a finite number"),
        (WHOLE.replace("0.1", '"much"'), "context_rate: input should be a valid number"),
        (WHOLE.replace("epochs = 3", "epochs = 0"), "epochs: input should be greater than or equal to 1"),
        (WHOLE.replace("epochs = 3", ""), "epochs: field required"),
        (WHOLE + "weight_decay = inf\n", "weight_decay: input should be a finite number"),
        (WHOLE + "loss_weight = inf\n", "loss_weight: input should be a finite number"),
        (WHOLE + "momentum = nan\n", "momentum: input should be"),
        (WHOLE + "epoch = " + "9" * 5000, "is no valid TOML"),
        ("a = " + "[" * 20_000, "is no valid TOML"),
        ("[shared\n", "is no valid TOML"),
        ("", "field required"),
    ],
)
def test_mistakes_in_a_recipe_are_one_line(recipe, text: str, message: str) -> None:
    path = recipe(text)
    with pytest.raises(UserError) as error:
        load_recipe(path, "positivecoop")
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("defaults", "did you mean 'default'?"),
        ("relesed", "did you mean 'released'?"),
        ("x" * 300, "File name too long"),
        ("nowhere/mine.toml", "no recipe 'nowhere/mine.toml': it is no file"),
    ],
)
def test_missing_recipes(source: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load_recipe(source, "positivecoop")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_recipe_that_is_no_text(tmp_path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot read the recipe") as error:
        load_recipe(tmp_path / "mine.toml", "positivecoop")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="no recipe"):
        load_recipe(tmp_path, "positivecoop")


def test_a_context_length_takes_the_place_of_words() -> None:
    assert load_recipe("default", "positivecoop").context_words == "a photo of a"
    asked = load_recipe("default", "positivecoop", context_length=8)
    assert (asked.context_length, asked.context_words) == (8, None)
    both = load_recipe("default", "positivecoop", context_length=8, context_words="a drawing of")
    assert both.context_words == "a drawing of"
