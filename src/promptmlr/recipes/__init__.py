"""Recipes: start, offset, rates, loss weight and epochs *together*, as TOML files.

A rate only fits the vectors it was tuned on (0.5 fits vectors of length 22), so the values of a recipe belong together.
A file holds, from general to specific (later ones override earlier ones):

    extends = "default"   or "released": the recipe to start from, so that a file holds the differences only
    [shared]              values of all methods
    [method.NAME]         where a method differs
    [[case]]              values for a part of the paper's table; all given conditions must hold
    method = "dualcoop"           or a list of names
    benchmark = "coco2014"        or "voc2007"; known to `promptmlr reproduce` alone
    observed = [0.0, 0.1]         fractions of observed labels, both ends included
    published = "where"           its values are printed there; or
    chosen = "why"                they are a choice, for this reason
    loss_weight_times_observed = 0.015    loss_weight is that over the fraction, which `observed` must bound
    class_specific = false        … and any other value
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from promptmlr.backbone import Templates
from promptmlr.data.options import Benchmark
from promptmlr.errors import UserError, nearest
from promptmlr.losses import LOSSES
from promptmlr.methods import METHOD_TABLE
from promptmlr.names import checked_path
from promptmlr.pooling import POOLINGS
from promptmlr.unknown import UNKNOWN_COSTS

__all__ = ["RECIPES", "Origin", "Recipe", "load_recipe", "recipe_origins"]

RECIPES = ("default", "released")

_CASE_KEYS = ("method", "benchmark", "observed", "published", "chosen", "loss_weight_times_observed")
_NEAR = 1e-9  # fractions are near, not equal: 0.1 + 0.2

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _name_of(what: str, table: Mapping[str, object], *also: str) -> AfterValidator:
    """Whether a value names a row of a table."""

    def checked(name: str) -> str:
        if name not in (*also, *table):
            raise ValueError(f"no {what} {name!r}; {nearest(name, (*also, *table))}")
        return name

    return AfterValidator(checked)


class Recipe(BaseModel):
    """How one method is built and trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # where the learned tensors start
    start: Literal["random", "agnostic", "text", "mean"]
    offset: Literal["none", "zero", "random"]
    linear_start: Literal["random", "zero"] = "random"
    context_length: Annotated[int, Field(ge=1)] = 16
    context_words: str | None = None
    class_specific: bool = True
    templates: Templates = "one"
    texts: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = {}  # of classes; theirs instead of templates

    # how they move; rates belong to the optimizer
    optimizer: Literal["adam", "sgd"]
    context_rate: Rate
    embedding_rate: Rate
    linear_rate: Rate
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    loss_weight: Rate = 1.0
    batch_size: Annotated[int, Field(ge=1)] = 32
    epochs: Annotated[int, Field(ge=1)]
    warmup_epochs: Annotated[int, Field(ge=0)] = 1
    warmup_rate: Rate | None = None  # constant for every group in the warm-up; None: a hundredth of each group's rate

    # how regions count
    pooling: Annotated[str, _name_of("pooling", POOLINGS)] = "softmax"

    # what is minimised: a cost of known labels and one of unknown ones, and a Gaussian prior around where sides start
    loss: Annotated[str, _name_of("loss", LOSSES)] = "asymmetric"
    unknown: Annotated[str, _name_of("cost", UNKNOWN_COSTS, "auto")] = "auto"
    prior: Literal["none", "zero-shot"] = "none"
    prior_strength: Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["auto", "infinite"] = "auto"
    scaling_rate: Rate = 0.02

    # what they see
    augmentation: Literal["none", "cutout+randaugment"] = "none"
    views: Annotated[int, Field(ge=1)] | Literal["exact"] = "exact"  # of an augmented image; exact: new in every epoch

    @property
    def has_prior(self) -> bool:
        """Whether training has a prior around the start."""
        return self.prior != "none"

    def start_options(self) -> dict[str, Any]:
        """Keyword arguments for `create_recognizer`."""
        names = {"start", "offset", "linear_start", "context_length", "context_words", "class_specific"}
        names |= {"templates", "texts", "pooling"}
        return self.model_dump(include=names)


@dataclass(frozen=True)
class Origin:
    """Where a value of a recipe comes from."""

    published: bool
    text: str  # the publication, or the reason of a choice


def load_recipe(
    source: "str | Path | Recipe",
    method: str,
    *,
    observed: float | None = None,
    benchmark: Benchmark | None = None,
    **changes: Any,
) -> Recipe:
    """The recipe of one method, optionally for one cell of the paper's table.

    Args:
        source: "default", "released", or a TOML file as this module describes it; or a recipe, to be changed.
        method: a name of `METHODS`.
        observed: the fraction of labels that training sees; None leaves out all cases that ask for one.
        benchmark: which of the paper's data sets; None leaves out all cases that ask for one.
        changes: values that replace the file's, for example `epochs=10`; None leaves the file's.

    Raises:
        UserError: no such method or recipe, bad TOML, an unknown key (the nearest known one is named) or a bad value,
            or a number of views where nothing is augmented.
    """
    if isinstance(source, Recipe):
        values = source.model_dump() | {name: value for name, value in changes.items() if value is not None}
        source = "of the run"
    else:
        values, _ = _resolve(source, method, observed, benchmark, changes)
    try:
        recipe = Recipe(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = first["loc"][0]
        raise UserError(f"recipe {source}: {where}: {first['msg'].lower()}") from error
    if changes.get("views") is not None and recipe.views != "exact" and recipe.augmentation == "none":
        raise UserError(
            f"{recipe.views} views are stored of augmented images, and recipe {source} shows them as they are; leave "
            "the views out, or take a recipe with augmentation, such as released"
        )
    return recipe


def recipe_origins(
    source: str | Path,
    method: str,
    *,
    observed: float | None = None,
    benchmark: Benchmark | None = None,
    **changes: Any,
) -> dict[str, Origin]:
    """Value → its origin, for the arguments of `load_recipe`; values that the file does not set are missing.

    Raises:
        UserError: as there, but for bad values.
    """
    return _resolve(source, method, observed, benchmark, changes)[1]


def _resolve(
    source: str | Path,
    method: str,
    observed: float | None,
    benchmark: Benchmark | None,
    changes: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Origin]]:
    """The values of a recipe and their origins."""
    if method not in METHOD_TABLE:
        raise UserError(f"unknown method {method!r}; {nearest(method, METHOD_TABLE)}")
    content = _read(source)
    _check_keys(source, "table", content, ("extends", "shared", "method", "case"))
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    if "extends" in content:
        if content["extends"] not in RECIPES:
            raise UserError(f"recipe {source}: extends {content['extends']!r}; it may be {' or '.join(RECIPES)}")
        values, origins = _resolve(content["extends"], method, observed, benchmark, {})
    shared, own, cases = content.get("shared", {}), content.get("method", {}), content.get("case", [])
    _check_keys(source, "method", own, METHOD_TABLE)
    for table in (shared, *own.values()):
        _check_keys(source, "key", table, Recipe.model_fields)
    differing = {**shared, **own.get(method, {})}
    values |= differing
    origins |= dict.fromkeys(differing, Origin(False, f"recipe {source}"))
    for number, case in enumerate(_tables(source, cases), 1):
        if _holds(f"{source}, case {number}", case, method, observed, benchmark):
            found = {key: value for key, value in case.items() if key in Recipe.model_fields}
            if "loss_weight_times_observed" in case:
                found["loss_weight"] = case["loss_weight_times_observed"] / observed
            values |= found
            text = case.get("published", case.get("chosen", f"recipe {source}"))
            origins |= dict.fromkeys(found, Origin("published" in case, text))
    changes = {key: value for key, value in changes.items() if value is not None}
    origins |= dict.fromkeys(changes, Origin(False, "asked for"))
    if "context_length" in changes:  # a length asks for random contexts, not for the recipe's words
        changes = {"context_words": None, **changes}
    return values | changes, origins


def _holds(where: str, case: Any, method: str, observed: float | None, benchmark: Benchmark | None) -> bool:
    """Whether a case applies to this cell of the table; an invalid case is refused even if it does not apply."""
    _check_keys(where, "key", case, (*_CASE_KEYS, *Recipe.model_fields))
    methods = case.get("method", list(METHOD_TABLE))
    methods = [methods] if isinstance(methods, str) else methods
    for name in _list(where, "method", methods):
        if name not in METHOD_TABLE:
            raise UserError(f"recipe {where}: unknown method {name!r}; {nearest(str(name), METHOD_TABLE)}")
    if "benchmark" in case and case["benchmark"] not in get_args(Benchmark):
        name = case["benchmark"]
        raise UserError(f"recipe {where}: unknown benchmark {name!r}; {nearest(str(name), get_args(Benchmark))}")
    ends = _list(where, "observed", case.get("observed", [0.0, 1.0]))
    if [type(end) in (int, float) for end in ends] != [True, True] or not 0 <= ends[0] <= ends[1] <= 1:
        raise UserError(f"recipe {where}: observed is {ends}; write two fractions, as in [0.0, 0.1]")
    for key in ("published", "chosen"):
        if not isinstance(case.get(key, ""), str):
            raise UserError(f"recipe {where}: {key} is {case[key]!r}; write a sentence")
    if "published" in case and "chosen" in case:
        raise UserError(f"recipe {where}: its values are either published or chosen")
    if "loss_weight_times_observed" in case:
        product = case["loss_weight_times_observed"]
        if "loss_weight" in case or "observed" not in case:
            raise UserError(f"recipe {where}: loss_weight_times_observed needs observed, and no loss_weight beside it")
        if type(product) not in (int, float) or not 0 < product < inf:
            raise UserError(f"recipe {where}: loss_weight_times_observed is {product!r}; write a number above 0")
    inside = observed is not None and observed > 0 and ends[0] - _NEAR <= observed <= ends[1] + _NEAR
    return method in methods and case.get("benchmark", benchmark) == benchmark and ("observed" not in case or inside)


def _tables(source: str | Path, cases: Any) -> list[Any]:
    if not isinstance(cases, list):
        raise UserError(f"recipe {source}: {cases!r} stands where [[case]] belongs")
    return cases


def _list(where: str, key: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise UserError(f"recipe {where}: {key} is {value!r}; write a list")
    return value


def _table(source: str | Path, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"recipe {source}: {value!r} stands where a table belongs: [shared], [method.NAME] or [[case]]")
    return value


def _check_keys(source: str | Path, kind: str, table: Any, known: Iterable[str]) -> None:
    for key in _table(source, table):
        if key not in known:
            raise UserError(f"recipe {source}: unknown {kind} {key!r}; {nearest(key, known)}")


def _read(source: str | Path) -> dict[str, Any]:
    if str(source) in RECIPES:
        text = files("promptmlr.recipes").joinpath(f"{source}.toml").read_text(encoding="utf-8")
    else:
        path = checked_path(source)
        if not path.is_file():
            raise UserError(f"no recipe {str(source)!r}: it is no file, and {nearest(str(source), RECIPES)}")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read the recipe {path}: {error}") from error
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # bad TOML, a number of 5000 digits, tables nested without end
        raise UserError(f"recipe {source} is no valid TOML: {error}") from error
