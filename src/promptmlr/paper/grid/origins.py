"""Which settings of a grid's cells were published, which are a choice of the recipe, and why."""

from collections.abc import Sequence
from pathlib import Path

from promptmlr.methods import METHOD_TABLE, Kind
from promptmlr.paper.grid.plan import Grid
from promptmlr.recipes import Origin, Recipe, recipe_origins
from promptmlr.report.tables import write_csv
from promptmlr.sides import SIDES

__all__ = ["SettingOrigins"]

COLUMNS = ("method", "observed", "setting", "value", "published", "origin")

TableCell = tuple[str, float]  # method, observed fraction

_WORDS = {
    "context_rate": "rate of contexts",
    "embedding_rate": "rate of vectors",
    "linear_rate": "rate of linear layers",
    "loss_weight": "loss weight",
    "class_specific": "contexts shared or not",
    "epochs": "epochs",
}


class SettingOrigins:
    """Origins of the settings that are published for some cells only: rates, loss weight, contexts, epochs.

    Args:
        grid: what is compared.
    """

    def __init__(self, grid: Grid) -> None:
        self.recipes = grid.recipes()
        self.origins: dict[TableCell, dict[str, Origin]] = {}
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
        write_csv(path, COLUMNS, records)

    def notes(self) -> list[str]:
        """Sentences: which cells use published settings only, then per origin which settings come from it."""
        whole = [cell for cell, found in self.origins.items() if all(one.published for one in found.values())]
        count = (
            f"{len(whole)} of {len(self.origins)} cells of the table run on published rates, loss weights, contexts "
            "and epochs alone"
        )
        notes = [f"{count}: {self._cells(whole)}." if whole else f"{count}."]
        by_origin: dict[Origin, dict[str, list[TableCell]]] = {}
        for cell, settings in self.origins.items():
            for name, origin in settings.items():
                by_origin.setdefault(origin, {}).setdefault(name, []).append(cell)
        for origin in sorted(by_origin, key=lambda origin: not origin.published):
            words: dict[str, list[str]] = {}
            for name, cells in by_origin[origin].items():
                words.setdefault(self._cells(cells), []).append(_WORDS[name])
            settings_of = "; ".join(f"{cells}: {', '.join(names)}" for cells, names in words.items())
            notes.append(f"{'Published' if origin.published else 'Chosen'} ({origin.text}): {settings_of}.")
        return notes

    def _cells(self, cells: Sequence[TableCell]) -> str:
        """For example "dualcoop and baseline at 10, 20 %"; a method without fractions means all of them."""
        shares: dict[str, list[str]] = {}
        for method, share in cells:
            shares.setdefault(method, []).append(f"{100 * share:g}")
        every = len({share for _, share in self.origins})
        return " and ".join(
            method if len(found) == every else f"{method} at {', '.join(found)} %" for method, found in shares.items()
        )


def _settings(method: str, recipe: Recipe) -> list[str]:
    """Names of the settings that a method has."""
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
