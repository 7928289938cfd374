"""From the options of `promptmlr reproduce` to Table 1: a benchmark read, what to know of it said, cells run."""

from dataclasses import dataclass, replace
from pathlib import Path

from promptmlr.opening import job_settings, open_tower
from promptmlr.options import CacheOptions, DataOptions, NewTowerOptions
from promptmlr.paper.grid.benchmarks import BENCHMARKS, load_benchmark, what_is_missing
from promptmlr.paper.grid.compare import compare
from promptmlr.paper.grid.origins import SettingOrigins
from promptmlr.paper.grid.outputs import GridOutputs
from promptmlr.paper.grid.plan import Grid, reference_of
from promptmlr.paper.grid.published import published_scores
from promptmlr.paper.grid.remarks import remarks_on
from promptmlr.reporting import Reporter

__all__ = ["Reproduction", "reproduce_table"]

TOWER, IMAGE_SIZE = "RN101", 448  # the paper's


@dataclass(frozen=True)
class Reproduction:
    """What is reproduced, as a person says it.

    Attributes:
        grid: methods, fractions and seeds, of one of the paper's benchmarks.
        root: the folder of VOC's devkit, or of COCO.
        reference: the method that the others are compared with; None is the first.
        tower: the frozen CLIP; what it leaves open is the paper's.
        reading: how the data are read.
        regions: where regions are stored.
    """

    grid: Grid
    root: Path
    reference: str | None = None
    tower: NewTowerOptions = NewTowerOptions()
    reading: DataOptions = DataOptions()
    regions: CacheOptions = CacheOptions()


def reproduce_table(asked: Reproduction, out: Path, reporter: Reporter) -> GridOutputs:
    """Methods × fractions × seeds on a benchmark, with the paper's numbers beside; finished cells in `out` are kept.

    Writes `out/origins.csv`: which settings were published, and which were not.

    Raises:
        UserError: the options contradict each other, the data or the backbone.
    """
    grid, benchmark = asked.grid, asked.grid.benchmark
    assert benchmark is not None
    reference, origins = reference_of(grid.methods, asked.reference), SettingOrigins(grid)
    train, test = load_benchmark(benchmark, asked.root, asked.reading)
    missing = what_is_missing(benchmark, train, test, asked.reading)
    remarks = [*([missing] if missing else []), *remarks_on(test)]
    settings = [_quirks(grid, asked.reading), *origins.notes()]
    for line in (train.source, *train.notes, test.source, *test.notes, *remarks, *settings):
        reporter.note(line)
    size = asked.tower.image_size or IMAGE_SIZE
    tower = replace(asked.tower, backbone=asked.tower.backbone or TOWER, image_size=size)
    backbone = open_tower(str(asked.root), tower, reporter)
    if (backbone.name, backbone.image_size) != (TOWER, IMAGE_SIZE):
        found = f"{backbone.name} at {backbone.image_size} px"
        remarks.append(f"The paper's tower is {TOWER} at {IMAGE_SIZE} px, and this is {found}.")
    if grid.select == "test":
        remarks.append(
            "As in the released code, every cell is its best epoch on these test images, so all scores lean high; "
            "--select last takes the last."
        )
    told = job_settings(asked.regions, asked.reading, asked.tower, reporter)
    results = compare(grid, train, test, backbone, out, **told)
    origins.write(out / "origins.csv")
    return GridOutputs(
        results,
        reference,
        published_scores(benchmark),
        f"{len(test.images):,} test images of {test.source}, {backbone.description}",
        remarks,
        settings,
        f"The paper's Table 1 on {BENCHMARKS[benchmark].name}",
    )


def _quirks(grid: Grid, options: DataOptions) -> str:
    """What the released code does without the paper's saying so: which of it is on, and what turns it off."""
    recipes = grid.recipes().values()
    views = any(recipe.augmentation != "none" and recipe.views == "exact" for recipe in recipes)
    quirks = [
        ("the best epoch is chosen on the test images", grid.select == "test", "--select last"),
        ("a learned offset is added to prompts", any(r.offset == "random" for r in recipes), "--offset none"),
        ("embeddings start from a standard normal", any(r.start == "random" for r in recipes), "--start text"),
        ("Cutout and RandAugment show new views in every epoch", views, "--augmentation none"),
    ]
    if grid.benchmark == "voc2007":
        quirks += [
            ("classes of difficult objects alone are absent", options.difficult != "unknown", "--difficult unknown")
        ]
    else:
        quirks += [
            ("images without annotations are left out", options.coco_images != "all", "--coco-images all"),
            ("classes of crowds alone are present", options.crowd in (None, "present"), "--crowd unknown"),
        ]
    on = [f"{what} ({option} turns it off)" for what, active, option in quirks if active]
    off = [what for what, active, _ in quirks if not active]
    parts = [f"As the released code does, and the paper does not say: {'; '.join(on) if on else 'nothing'}."]
    if off:
        parts.append(f"Turned off: {'; '.join(off)}.")
    parts.append("Labels are hidden by a seeded generator (released: an unseeded one).")
    return " ".join(parts)
