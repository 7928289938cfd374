"""`promptmlr probe-text`: what CLIP's text says of absence."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from promptmlr.cli.options import Cache, NewTower, Reading, Report
from promptmlr.cli.outcome import check_page, publish
from promptmlr.cli.progress import Terminal
from promptmlr.errors import UserError
from promptmlr.options import CacheOptions, DataOptions, NewTowerOptions

if TYPE_CHECKING:
    from promptmlr.data import LabelledImages

__all__ = ["probe_text"]


def probe_text(
    data: str | None = None,
    /,
    *,
    classes: str | None = None,
    templates: Literal["single", "imagenet"] = "single",
    out: Path | None = None,
    report: Report = None,
    tower: NewTower = NewTowerOptions(),
    reading: Reading = DataOptions(),
    regions: Cache = CacheOptions(),
) -> None:
    """Measure how similar negative prompts are to positive ones, and whether "no X" responds to images of X.

    Args:
        data: Labelled images (a .csv file, a VOC or COCO folder, or 'scenes') on which to measure the AUC of 'no X'.
        classes: Class names, separated by commas. (default: those of DATA; without DATA, the drawn world's for scenes,
            otherwise COCO's)
        templates: single: 'photo of a X', 'picture of a X', 'Not a photo of a X'. imagenet: open_clip's templates for
            ImageNet, and each with 'not' before it.
        out: Folder for settings.json, cosines.csv, classes.csv and auc.csv.
    """
    from promptmlr.backbone import PAPER_TOWER
    from promptmlr.maps.sentences import TEMPLATES
    from promptmlr.opening import job_settings, open_data, open_images, open_tower
    from promptmlr.paper.text_probe.report import ProbeOutputs
    from promptmlr.paper.text_probe.scores import presence_scores, prompt_cosines

    check_page(out, report)
    if data is not None and classes is not None:
        raise UserError("--classes: DATA has its own classes; leave out one of the two")
    labelled = None
    if data is not None:
        labelled = open_data(data, "test", reading, Terminal())
    names = _class_names(classes, labelled, tower.backbone)
    wanted = replace(tower, dtype=tower.dtype or "float32")
    backbone = open_tower(data or "", wanted, Terminal(), usual=PAPER_TOWER)
    cosines = prompt_cosines(backbone, names, TEMPLATES[templates])
    scores = []
    if labelled is not None:
        shown, source = open_images(labelled, backbone, **job_settings(regions, reading, tower, Terminal()))
        scores = presence_scores(backbone, source, shown.labels, names)
    setting = {
        "backbone": backbone.identity(),
        "templates": TEMPLATES[templates].__dict__,
        "data": None if labelled is None else labelled.source,
    }
    publish(ProbeOutputs(cosines, templates, scores, setting, backbone.name), out, report)


def _class_names(classes: str | None, labelled: "LabelledImages | None", backbone: str | None) -> tuple[str, ...]:
    """The classes of the data, or those asked for, or those of the drawn world, or COCO's."""
    from promptmlr.data.formats.coco import COCO_CLASS_NAMES
    from promptmlr.names import checked_class_names
    from promptmlr.scenes import CLASS_NAMES

    if labelled is not None:
        return labelled.class_names
    if classes is not None:
        return checked_class_names(classes.split(","), "--classes")
    return CLASS_NAMES if backbone == "scenes" else COCO_CLASS_NAMES
