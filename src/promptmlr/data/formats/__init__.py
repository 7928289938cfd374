"""The label formats, a file each; a new one is a file and a line of `_MODULES`."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from promptmlr.data.columns import has_images
from promptmlr.data.formats.base import Format, Source
from promptmlr.data.options import DataOptions
from promptmlr.data.records import RECORDS
from promptmlr.data.table import TABLES
from promptmlr.errors import UserError, nearest
from promptmlr.options.data import Unclear

__all__ = ["FORMATS", "WRITERS", "detect_format", "format_named"]

_MODULES = (
    "attributes",
    "celeba",
    "coco",
    "concept_lists",
    "csv",
    "cutouts",
    "cvat",
    "datumaro",
    "features",
    "fiftyone",
    "huggingface",
    "label_studio",
    "labelme",
    "list_csv",
    "long_csv",
    "nus_wide",
    "nus_wide_csv",
    "open_images",
    "scenes",
    "text_files",
    "via",
    "visual_genome",
    "visual_genome_lists",
    "voc",
    "voc_lists",
    "yolo",
    "class_folders",
    "json_records",  # last, as it may be any of the others
)

_DEFAULTS = DataOptions()
_LABELS = (*TABLES, *RECORDS, ".xml", ".yaml", ".yml", ".npz")  # suffixes of files that may hold labels
_MOST = 6  # files in a folder that are proposed
_LOOKED_AT = 20  # of them, when it is asked whether one of a folder does

_FOUND: list[Format] = [import_module(f"{__name__}.{name}").FORMAT for name in _MODULES]

FORMATS: Mapping[str, Format] = MappingProxyType({one.name: one for one in _FOUND})
"""Every format by its name; where several weak ones fit, the first is taken."""

WRITERS = MappingProxyType({name: one.writer for name, one in FORMATS.items() if one.writer is not None})


def format_named(name: str) -> Format:
    """One of `FORMATS`.

    Raises:
        UserError: there is none of this name.
    """
    if name not in FORMATS:
        raise UserError(f"unknown format {name!r}; {nearest(name, tuple(FORMATS))}")
    return FORMATS[name]


def detect_format(data: str, options: DataOptions = _DEFAULTS) -> str:
    """Which of `FORMATS` a file or folder is in, by its name and content.

    Raises:
        UserError: there is nothing, or it is none or several of them.
    """
    source = Source(data, options)
    if not source.path.exists() and not any(FORMATS[name].recognises(source) for name in ("cutouts", "scenes")):
        raise UserError(f"no such file or folder: {data}")
    if source.suffix == ".xls":
        raise UserError(f"{data}: a workbook of Excel before 2007; save it as .xlsx, or as CSV UTF-8")
    strong = [one.name for one in FORMATS.values() if not one.weak and one.recognises(source)]
    if len(strong) > 1:
        choices = " or ".join(f"--format {name}" for name in strong)
        raise UserError(f"{data} holds both {' and '.join(strong)} data; choose with {choices}")
    found = strong or [one.name for one in FORMATS.values() if one.weak and one.recognises(source)]
    if found:
        return found[0]
    inside = _inside(source.path, options) if source.path.is_dir() else []
    if inside:
        several = "several files" if len(inside) > 1 else "a file"
        problem = f"{data} is a folder with {several} of labels in it; name the file"
        raise Unclear(problem, {f"the labels are in {file.name}": {"data": str(file)} for file in inside}, data)
    raise UserError(
        f"{data} is no data set: neither a table (.csv, .tsv, .xlsx) with a column per class, nor a folder with "
        f"JPEGImages and ImageSets/Main (VOC) or annotations/instances_*.json (COCO), nor another of the formats "
        f"{', '.join(FORMATS)}; --format says which it is"
    )


def _inside(folder: Path, options: DataOptions) -> list[Path]:
    """The files in a folder that are data by themselves."""
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and file.suffix.lower() in _LABELS]
    return [file for file in files[:_LOOKED_AT] if _is_data(Source(str(file), options))][:_MOST]


def _is_data(source: Source) -> bool:
    """Whether a file is labels of images: a table only if it names images."""
    fits = [one for one in FORMATS.values() if one.recognises(source)]
    return any(not one.weak for one in fits) or has_images(source.header, source.options) or source.suffix in RECORDS
