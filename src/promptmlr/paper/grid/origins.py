"""Which settings of a grid's cells were published, which are a choice of the recipe, and why."""

from collections.abc import Sequence
from pathlib import Path

from promptmlr.files import write_text
from promptmlr.methods import METHOD_TABLE, Kind
from promptmlr.paper.grid.plan import Grid
from promptmlr.recipes import Origin, Recipe, recipe_origins
from promptmlr.report.tables import csv_text
from promptmlr.sides import SIDES

__all__ = ["SettingOrigins"]

COLUMNS = ("method", "observed", "setting", "value", "published", "origin")

Place = tuple[str, float]  # method, observed fraction

_WORDS = {
    "context_rate": "rate of contexts",
    "embedding_rate": "rate of vectors",
    "linear_rate": "rate of linear layers",
    "loss_weight": "loss weight",
    "class_specific": "contexts shared or not",
    "epochs": "epochs",
}


class SettingOrigins:
    """Of the settings that were published at some places and not at others: rates, loss weight, contexts, epochs.

    Args:
        grid: what is compared.
    """

    def __init__(self, grid: Grid) -> None:
        self.recipes = grid.recipes()
        self.origins: dict[Place, dict[str, Origin]] = {}
        for (method, seen), recipe in self.recipes.items():
            share = float(seen)
            found = recipe_origins(grid.recipe, method, observed=share, benchmark=grid.benchmark, **grid.changes)
            default = Origin(False, "the default of all recipes")
            self.origins[method, share] = {name: found.get(name, default) for name in _settings(method, recipe)}

    def write(self, path: Path) -> None:
        """A line per cell and setting."""
        records = [
            {
                "method": method,
                "observed": share,
                "setting": name,
                "value": getattr(self.recipes[method, share], name),
                "published": int(origin.published),
                "origin": origin.text,
            }
            for (method, share), settings in self.origins.items()
            for name, origin in settings.items()
        ]
        write_text(path, csv_text(COLUMNS, records))

    def notes(self) -> list[str]:
        """In words: where all settings were published, then by origin which were, and which are a choice."""
        whole = [place for place, found in self.origins.items() if all(one.published for one in found.values())]
        count = (
            f"{len(whole)} of {len(self.origins)} places of the table run on published rates, loss weights, contexts "
            "and epochs alone"
        )
        notes = [f"{count}: {self._places(whole)}." if whole else f"{count}."]
        by_origin: dict[Origin, dict[str, list[Place]]] = {}
        for place, settings in self.origins.items():
            for name, origin in settings.items():
                by_origin.setdefault(origin, {}).setdefault(name, []).append(place)
        for origin in sorted(by_origin, key=lambda origin: not origin.published):
            words: dict[str, list[str]] = {}
            for name, places in by_origin[origin].items():
                words.setdefault(self._places(places), []).append(_WORDS[name])
            settings_of = "; ".join(f"{places}: {', '.join(names)}" for places, names in words.items())
            notes.append(f"{'Published' if origin.published else 'Chosen'} ({origin.text}): {settings_of}.")
        return notes

    def _places(self, places: Sequence[Place]) -> str:
        """For example "dualcoop; baseline at 10, 20 %": a method alone stands for all its fractions."""
        shares: dict[str, list[str]] = {}
        for method, share in places:
            shares.setdefault(method, []).append(f"{100 * share:g}")
        every = len({share for _, share in self.origins})
        return " and ".join(
            method if len(found) == every else f"{method} at {', '.join(found)} %" for method, found in shares.items()
        )


def _settings(method: str, recipe: Recipe) -> list[str]:
    """Those that the method has."""
    row = METHOD_TABLE[method]
    if not row.trained:
        return []
    kinds: Sequence[Kind] = (row.presence, row.absence)
    names = list(dict.fromkeys(next(iter(SIDES[kind].rates.values())) for kind in kinds))
    if "prompt" in kinds:
        names.append("class_specific")
        if recipe.offset != "none" and "embedding_rate" not in names:
            names.append("embedding_rate")
    return [*names, "loss_weight", "epochs"]
