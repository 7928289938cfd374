"""Recipes: start, offset, rates, loss weight and epochs *together*, as TOML files.

A rate only fits the vectors it was measured on (0.5 fits vectors of length 22), so nothing of a recipe stands alone.
"""

import tomllib
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promptmlr.errors import UserError, nearest
from promptmlr.methods import METHOD_TABLE
from promptmlr.names import checked_path

__all__ = ["RECIPES", "Recipe", "load_recipe"]

RECIPES = ("default", "released")

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Recipe(BaseModel):
    """How one method is built and trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # where the learned tensors start
    start: Literal["random", "agnostic", "text"]
    offset: Literal["none", "zero", "random"]
    linear_start: Literal["random", "zero"] = "random"
    context_length: Annotated[int, Field(ge=1)] = 16
    context_words: str | None = None
    class_specific: bool = True

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

    # what they see
    augmentation: Literal["none", "cutout+randaugment"] = "none"
    views: Annotated[int, Field(ge=1)] | Literal["exact"] = "exact"  # of an augmented image; exact: new in every epoch

    def start_options(self) -> dict[str, Any]:
        """What `create_recognizer` is to be told."""
        names = {"start", "offset", "linear_start", "context_length", "context_words", "class_specific"}
        return self.model_dump(include=names)


def load_recipe(source: str | Path, method: str, **changes: Any) -> Recipe:
    """The recipe of one method.

    Args:
        source: "default", "released", or a TOML file with a table `[shared]` and, where a method differs from it,
            `[method.NAME]`.
        method: a name of `METHODS`.
        changes: values that replace the file's, for example `epochs=10`; None leaves the file's.

    Raises:
        UserError: no such method or recipe, bad TOML, an unknown key (the nearest known one is named) or a bad value.
    """
    if method not in METHOD_TABLE:
        raise UserError(f"unknown method {method!r}; {nearest(method, METHOD_TABLE)}")
    content = _read(source)
    _check_keys(source, "table", content, ("shared", "method"))
    shared, own = content.get("shared", {}), content.get("method", {})
    _check_keys(source, "method", own, METHOD_TABLE)
    for table in (shared, *own.values()):
        _check_keys(source, "key", table, Recipe.model_fields)
    values = {**shared, **own.get(method, {})}
    changes = {key: value for key, value in changes.items() if value is not None}
    if "context_length" in changes:  # a length asks for random contexts, not for the recipe's words
        changes = {"context_words": None, **changes}
    values |= changes
    try:
        return Recipe(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = first["loc"][0]
        raise UserError(f"recipe {source}: {where}: {first['msg'].lower()}") from error


def _table(source: str | Path, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"recipe {source}: {value!r} stands where a table belongs: [shared] or [method.NAME]")
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
