"""Recipes: what is shipped loads for every method, and what is written wrongly is named."""

from importlib.resources import files

import pytest
from pydantic import ValidationError

from promptmlr.errors import UserError
from promptmlr.methods import METHODS
from promptmlr.recipes import RECIPES, Origin, Recipe, load_recipe, recipe_origins

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


def test_texts_of_classes_are_part_of_a_recipe(recipe) -> None:
    found = load_recipe(recipe(WHOLE + 'templates = "simple"\ntexts.dog = ["a hound"]\n'), "anchored")
    assert (found.templates, found.texts) == ("simple", {"dog": ("a hound",)})
    assert found.start_options()["texts"] == found.texts
    assert load_recipe(found, "anchored", texts={}).texts == {}
    with pytest.raises(UserError, match="texts"):
        load_recipe("default", "anchored", texts={"dog": []})


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


CASES = (
    WHOLE
    + """
[method.dualcoop]
epochs = 9

[[case]]
observed = [0.0, 0.3]
chosen = "less is more"
loss_weight_times_observed = 0.2
epochs = 4

[[case]]
method = ["dualcoop", "baseline"]
benchmark = "voc2007"
published = "a paper"
epochs = 5

[[case]]
method = "baseline"
observed = [0.3, 0.3]
loss_weight = 7
"""
)


@pytest.mark.parametrize(
    ("method", "place", "epochs", "loss_weight"),
    [
        ("positivecoop", {}, 3, 1.0),
        ("positivecoop", {"observed": 0.1}, 4, 2.0),
        ("positivecoop", {"observed": 0.1 + 0.2}, 4, 0.2 / 0.3),
        ("positivecoop", {"observed": 0.31}, 3, 1.0),
        ("positivecoop", {"observed": 0.1, "benchmark": "voc2007"}, 4, 2.0),
        ("dualcoop", {"observed": 0.5}, 9, 1.0),
        ("dualcoop", {"observed": 0.1, "benchmark": "coco2014"}, 4, 2.0),
        ("dualcoop", {"observed": 0.1, "benchmark": "voc2007"}, 5, 2.0),
        ("dualcoop", {"benchmark": "voc2007"}, 5, 1.0),
        ("baseline", {"observed": 0.3}, 4, 7.0),
    ],
)
def test_cases_hold_at_their_places(recipe, method: str, place, epochs: int, loss_weight: float) -> None:
    found = load_recipe(recipe(CASES), method, **place)
    assert (found.epochs, found.loss_weight) == (epochs, pytest.approx(loss_weight))


def test_a_recipe_says_what_differs_alone(recipe) -> None:
    path = recipe('extends = "default"\n[shared]\nloss = "asymmetric"\n[method.baseline]\nepochs = 7\n')
    for method in METHODS:
        ours, base = load_recipe(path, method), load_recipe("default", method)
        assert ours.loss == "asymmetric"
        assert ours.epochs == (7 if method == "baseline" else base.epochs)
        assert ours.model_dump(exclude={"loss", "epochs"}) == base.model_dump(exclude={"loss", "epochs"})


def test_where_values_come_from(recipe) -> None:
    path = recipe(CASES)
    found = recipe_origins(path, "dualcoop", observed=0.1, benchmark="voc2007", context_rate=1.0, start=None)
    assert found["epochs"] == Origin(True, "a paper")
    assert found["loss_weight"] == Origin(False, "less is more")
    assert found["context_rate"] == Origin(False, "asked for")
    assert found["start"] == Origin(False, f"recipe {path}")
    assert "views" not in found


def test_released_differs_where_it_was_published(recipe) -> None:
    """What the two READMEs print, and that the known labels weigh the same at every fraction."""
    published = load_recipe("released", "negativecoop", observed=0.9, benchmark="voc2007")
    assert (published.embedding_rate, published.loss_weight, published.class_specific, published.epochs) == (
        0.5,
        0.03,
        True,
        52,
    )
    coco = load_recipe("released", "dualcoop", observed=0.5, benchmark="coco2014")
    assert (coco.context_rate, coco.loss_weight, coco.class_specific, coco.epochs) == (0.002, 0.03, False, 50)
    assert load_recipe("released", "dualcoop", observed=0.5, benchmark="voc2007").context_rate == 0.001
    for method, product in (("dualcoop", 0.015), ("baseline", 0.027), ("positivecoop", 0.027)):
        for share in (0.1, 0.2, 0.9):
            found = load_recipe("released", method, observed=share, benchmark="voc2007")
            assert found.loss_weight * share == pytest.approx(product)
            assert found.class_specific == (share > 0.1)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("epochz = 1", "case 1: unknown key 'epochz'; did you mean 'epochs'?"),
        ('method = "positvecoop"', "case 1: unknown method 'positvecoop'; did you mean 'positivecoop'?"),
        ("method = [3]", "case 1: unknown method 3"),
        ("method = 3", "case 1: method is 3; write a list"),
        ('benchmark = "voc2012"', "case 1: unknown benchmark 'voc2012'; did you mean 'voc2007'?"),
        ("benchmark = [1]", "case 1: unknown benchmark [1]"),
        ("observed = 0.1", "case 1: observed is 0.1; write a list"),
        ("observed = [0.2, 0.1]", "case 1: observed is [0.2, 0.1]; write two fractions"),
        ("observed = [0.2]", "case 1: observed is [0.2]; write two fractions"),
        ('observed = ["a", "b"]', "case 1: observed is ['a', 'b']; write two fractions"),
        ("observed = [0, 2]", "case 1: observed is [0, 2]; write two fractions"),
        ("published = 1", "case 1: published is 1; write a sentence"),
        ('published = "a"\nchosen = "b"', "case 1: its values are either published or chosen"),
        ("loss_weight_times_observed = 1", "case 1: loss_weight_times_observed needs observed"),
        (
            "observed = [0, 1]\nloss_weight = 1\nloss_weight_times_observed = 1",
            "case 1: loss_weight_times_observed needs observed, and no loss_weight",
        ),
        ("observed = [0, 1]\nloss_weight_times_observed = -1", "loss_weight_times_observed is -1; write a number"),
        ("observed = [0, 1]\nloss_weight_times_observed = nan", "loss_weight_times_observed is nan; write a number"),
        ("loss_weight = -1", "loss_weight: input should be greater than 0"),
    ],
)
def test_mistakes_in_a_case_are_one_line(recipe, case: str, message: str) -> None:
    path = recipe(WHOLE + f"[[case]]\n{case}\n")
    with pytest.raises(UserError) as error:
        load_recipe(path, "positivecoop", observed=0.5)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["case = 3\n" + WHOLE, WHOLE + "[case]\nepochs = 1\n", "case = [1]\n" + WHOLE])
def test_cases_that_are_no_tables(recipe, text: str) -> None:
    with pytest.raises(UserError, match=r"stands where .*\[\[case\]\]"):
        load_recipe(recipe(text), "positivecoop")


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
        ('extends = "defualt"\n' + WHOLE, "extends 'defualt'; it may be default or released"),
        ("epochs = 3\n" + WHOLE, "unknown table 'epochs'"),
        ("shared = 3\n", "3 stands where a table belongs"),
        ("method = [1]\n", "[1] stands where a table belongs"),
        ("[method]\ndualcoop = 'x'\n", "'x' stands where a table belongs"),
        (WHOLE.replace('"text"', '"texts"'), "start: input should be 'random', 'agnostic', 'text' or 'mean'"),
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
def test_a_recipe_that_is_missing_is_named(source: str, message: str) -> None:
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


def test_dualembedding_trains_longer_where_labels_are_many() -> None:
    epochs = [
        load_recipe("default", "dualembedding", observed=share).epochs for share in (None, 0.1, 0.3, 0.5, 0.9, 1.0)
    ]
    assert epochs == [20, 20, 20, 80, 80, 80]
    assert load_recipe("default", "positivecoop", observed=0.9).epochs == 20
