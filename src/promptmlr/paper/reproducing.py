"""From the options of `promptmlr reproduce` to Table 1: a benchmark read, what to know of it said, cells run."""

from dataclasses import replace
from pathlib import Path

from promptmlr.backbone import PAPER_IMAGE_SIZE, PAPER_TOWER
from promptmlr.opening import job_settings, open_tower
from promptmlr.options import CacheOptions, DataOptions, NewTowerOptions
from promptmlr.paper.grid.benchmarks import BENCHMARKS, load_benchmark, what_is_missing
from promptmlr.paper.grid.compare import compare
from promptmlr.paper.grid.folds import VALIDATION
from promptmlr.paper.grid.origins import SettingOrigins
from promptmlr.paper.grid.outputs import GridOutputs
from promptmlr.paper.grid.peers import peer_findings
from promptmlr.paper.grid.plan import Grid, reference_of
from promptmlr.paper.grid.published import published_scores
from promptmlr.paper.grid.remarks import remarks_on
from promptmlr.reporting import Reporter

__all__ = ["reproduce_table"]

TOWER, IMAGE_SIZE = PAPER_TOWER[0], PAPER_IMAGE_SIZE


def reproduce_table(
    grid: Grid,
    root: Path,
    out: Path,
    *,
    reference: str | None = None,
    tower: NewTowerOptions,
    reading: DataOptions,
    regions: CacheOptions,
    reporter: Reporter,
) -> GridOutputs:
    """Methods × fractions × seeds on a benchmark, with the paper's numbers beside; finished cells in `out` are kept.

    Args:
        grid: methods, fractions and seeds, of a benchmark.
        root: the folder of the benchmark.
        out: the folder of cells, and of `origins.csv`: which settings were published, and which were not.
        reference: the method that the others are compared with; None is the first.
        tower: the frozen CLIP; what it leaves open is the paper's.
        reading: how the data are read.
        regions: where regions are stored.
        reporter: where to say how it goes.

    Raises:
        UserError: the options contradict each other, the data or the backbone.
    """
    benchmark = grid.benchmark
    assert benchmark is not None
    reference, origins = reference_of(grid.methods, reference), SettingOrigins(grid)
    train, test = load_benchmark(benchmark, root, reading)
    missing = what_is_missing(benchmark, train, test, reading)
    remarks = [*([missing] if missing else []), *remarks_on(test, empty_classes=grid.empty_classes)]
    settings = [_quirks(grid, reading), *origins.notes()]
    for line in (train.source, *train.notes, test.source, *test.notes, *remarks, *settings):
        reporter.note(line)
    asked = replace(tower, backbone=tower.backbone or TOWER, image_size=tower.image_size or IMAGE_SIZE)
    backbone = open_tower(str(root), asked, reporter)
    if (backbone.name, backbone.image_size) != (TOWER, IMAGE_SIZE):
        found = f"{backbone.name} at {backbone.image_size} px"
        remarks.append(f"The paper's tower is {TOWER} at {IMAGE_SIZE} px, and this is {found}.")
    if grid.select == "test":
        remarks.append(
            "As in the released code, every cell is its best epoch on these test images, so all scores lean high; "
            "--select last takes the last."
        )
    if grid.select == "val":
        remarks.append(VALIDATION)
    results = compare(grid, train, test, backbone, out, **job_settings(regions, reading, tower, reporter))
    origins.write(out / "origins.csv")
    name, published = BENCHMARKS[benchmark].name, published_scores(benchmark)
    return GridOutputs(
        results,
        reference,
        published,
        f"{len(test.images):,} test images of {test.source}, {backbone.description}",
        remarks,
        settings,
        f"The paper's Table 1 on {name}" if published else f"The paper's methods on {name}",
        peers=peer_findings(benchmark, grid.observed),
    )


def _quirks(grid: Grid, options: DataOptions) -> str:
    """What the released code does without the paper's saying so: which of it is on, and what turns it off."""
    recipes = grid.recipes().values()
    views = any(recipe.augmentation != "none" and recipe.views == "exact" for recipe in recipes)
    quirks = [
        ("the best epoch is chosen on the test images", grid.select == "test", "--select last"),
        ("a learned offset is added to prompts", any(r.offset == "random" for r in recipes), "--offset none"),
        ("embeddings start from a standard normal", any(r.start == "random" for r in recipes), "--start text"),
        ("classes that no test image shows count as 0", grid.empty_classes == "zero", "--empty-classes left-out"),
        ("Cutout and RandAugment show new views in every epoch", views, "--augmentation none"),
    ]
    if grid.benchmark == "voc2007":
        quirks += [
            ("classes of difficult objects alone are absent", options.difficult != "unknown", "--difficult unknown")
        ]
    elif grid.benchmark == "coco2014":
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
