"""Options, said once: the command line is made of them, Python takes them, a run records them; all of it is light."""

from promptmlr.options.archive import ArchiveOptions
from promptmlr.options.data import DataOptions
from promptmlr.options.labels import HidingOptions, MaskOptions
from promptmlr.options.recipe import PromptOptions, RecipeOptions, TextOptions
from promptmlr.options.regions import CacheOptions
from promptmlr.options.tower import BackboneOptions, NewTowerOptions, TowerOptions

__all__ = [
    "ArchiveOptions",
    "BackboneOptions",
    "CacheOptions",
    "DataOptions",
    "HidingOptions",
    "MaskOptions",
    "NewTowerOptions",
    "PromptOptions",
    "RecipeOptions",
    "TextOptions",
    "TowerOptions",
]
