"""`promptmlr cost`: what training costs per method, as released and as here."""

from pathlib import Path

from promptmlr.cli.options import Bare, PositiveInt, Report
from promptmlr.cli.outcome import check_page, publish
from promptmlr.cli.progress import Terminal
from promptmlr.errors import UserError
from promptmlr.options import NewTowerOptions

__all__ = ["cost"]


def cost(
    *,
    classes: str = "80",
    images: PositiveInt = 82_081,
    batch_size: PositiveInt = 32,
    context_length: PositiveInt = 16,
    out: Path | None = None,
    report: Report = None,
    tower: Bare = NewTowerOptions(),
) -> None:
    """Measure parameters, FLOPs, time and memory of training, and check the paper's claims about them.

    Nothing is downloaded: open_clip's models get random weights, because costs do not depend on their values.

    Args:
        classes: How many classes (the first are COCO's), or their names separated by commas.
        images: Size of the data set for which the training time is projected; the default is COCO's train2014.
        batch_size: Images per training step.
        context_length: Context tokens per prompt.
        out: Folder for cost.csv and claims.csv.
    """
    from promptmlr.backbone import PAPER_TOWER, usual_image_size
    from promptmlr.paper.cost.measuring import CostSetting, measure_costs
    from promptmlr.paper.cost.report import CostOutputs

    check_page(out, report)
    backbone = tower.backbone or PAPER_TOWER[0]
    setting = CostSetting(
        backbone=backbone,
        class_names=_class_names(classes),
        image_size=tower.image_size or usual_image_size(backbone),
        batch_size=batch_size,
        context_length=context_length,
        images=images,
        device=tower.device,
    )
    costs, measured = measure_costs(setting, Terminal())
    publish(CostOutputs(costs, setting, measured), out, report)


def _class_names(text: str) -> tuple[str, ...]:
    """Names by commas, or that many: COCO's, then numbered ones."""
    from promptmlr.data.formats.coco import COCO_CLASS_NAMES
    from promptmlr.names import checked_class_names

    if not text.strip().removeprefix("-").isdecimal():
        return checked_class_names(text.split(","), "--classes")
    count = int(text)
    if count < 1:
        raise UserError("--classes: at least one class is needed")
    rounds, known = range(-(-count // len(COCO_CLASS_NAMES))), COCO_CLASS_NAMES
    return tuple(f"{name} {again}" if again else name for again in rounds for name in known)[:count]
