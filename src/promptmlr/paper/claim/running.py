"""The experiment: pilot and power first, then all conditions; a repeated call continues."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from promptmlr.backbone import Backbone, load_backbone, open_backbone
from promptmlr.backbone.checkpoint import own_state_dict
from promptmlr.data import DataOptions, LabelledImages, load_data
from promptmlr.errors import UserError
from promptmlr.paper.absence.plan import Plan as TextTowers
from promptmlr.paper.absence.plan import Tower
from promptmlr.paper.absence.towers import checkpoint_path, pretrain_towers
from promptmlr.paper.claim.effects import Detectable, detectable
from promptmlr.paper.claim.plan import ROWS, Condition, Plan, cell_name
from promptmlr.paper.claim.training import Images, Trained, recipe_of, train
from promptmlr.paper.grid.folder import Cell, GridFolder
from promptmlr.paper.grid.observed import observation_of
from promptmlr.paper.jobs import Deadline, completed_tasks
from promptmlr.regions import FreshRegions, extract
from promptmlr.report.tables import write_csv
from promptmlr.reporting import Reporter
from promptmlr.scenes.text_side import TextSideConfig, encode_scenes

__all__ = ["Results", "run_claim"]


@dataclass(frozen=True, eq=False)
class Results:
    """A finished experiment.

    Attributes:
        plan: the plan that was run.
        folder: its cells.
        power: what can be seen, as it was computed before the run.
    """

    plan: Plan
    folder: GridFolder
    power: list[Detectable]


def run_claim(
    plan: Plan, out: str | Path, *, jobs: int = 1, minutes: float | None = None, reporter: Reporter | None = None
) -> Results:
    """Run the pilot, write what it says of the power, pretrain the text tower, and run all conditions.

    Args:
        plan: what is varied and held fixed.
        out: a folder: `towers/`, `power.csv`, and the cells as `GridFolder` keeps them.
        jobs: processes.
        minutes: after which no more cells are begun; None is no limit.
        reporter: receives progress and messages.

    Raises:
        OutOfTime: `minutes` are over.
        UserError: the plan contradicts itself, or the folder holds cells of another plan.
    """
    reporter, out, deadline = reporter or Reporter(), Path(out), Deadline(minutes)
    _check(plan)
    folder = GridFolder(out, "experiment claim")
    with folder.held({"claim": _setting(plan)}):
        _run(plan, folder, [plan.pilot], jobs, deadline, "pilot", reporter)
        power = detectable(plan, folder)
        write_csv(out / "power.csv", [field.name for field in fields(Detectable)], map(asdict, power))
        for line in power:
            reporter.note(str(line))
        _pretrain(plan, out, jobs, deadline, reporter)
        _run(plan, folder, plan.conditions, jobs, deadline, "conditions", reporter)
    return Results(plan, folder, power)


def _check(plan: Plan) -> None:
    """Refuse what gives no comparison, before anything is begun."""
    for what, found in (("--observed", plan.observed), ("--seeds", range(plan.seeds))):
        if len(found) < 2:
            raise UserError(f"{what} gives one, and a comparison needs two or more")
    if plan.pilot_world in plan.worlds:
        raise UserError(f"--pilot-world {plan.pilot_world} is also in --worlds; a pilot needs a world of its own")
    for seen in plan.observed:
        observation_of(seen)  # refuses what is no fraction
    TextSideConfig(plan.caption_share)  # refuses a share outside 0..1
    for world in (*plan.worlds, plan.pilot_world):
        load_data(world, purpose="test", options=DataOptions(scenes_train=1, scenes_test=1))  # refuses an unknown one


def _setting(plan: Plan) -> dict[str, Any]:
    """All of the plan but the lists: a cell depends on none of them but by its own name."""
    free = {"towers", "caption_share", "worlds", "observed", "pilot_world"}
    return {key: value for key, value in asdict(plan).items() if key not in free}


def _pretrain(plan: Plan, out: Path, jobs: int, deadline: Deadline, reporter: Reporter) -> None:
    tower = Tower(plan.caption_share, 0)
    if not checkpoint_path(out, tower).exists():
        packed = own_state_dict(plan.towers[0])
        assert packed is not None
        with reporter.progress("drawing and encoding scenes") as say:
            seen = encode_scenes(packed[1], plan.scenes, progress=say)
        pretrain_towers(seen, TextTowers(steps=plan.steps), [tower], out, jobs, deadline, reporter)


def _run(
    plan: Plan,
    folder: GridFolder,
    conditions: Sequence[Condition],
    jobs: int,
    deadline: Deadline,
    label: str,
    reporter: Reporter,
) -> None:
    """Train and score what the folder does not hold yet."""
    missing = [
        condition
        for condition in conditions
        if not all(folder.has_all(cell_name(row, condition), condition.observed, plan.seeds) for row in ROWS)
    ]
    shared = plan, folder.path
    trained = completed_tasks(_train, shared, missing, jobs, deadline, label=label, reporter=reporter)
    for condition, found in trained:
        for one in found:
            cell = Cell(
                cell_name(one.name, condition),
                condition.observed,
                one.seed,
                **asdict(one.score),
                learned_parameters=one.learned_parameters,
                epoch=one.epochs,
                seconds=one.seconds,
            )
            folder.add(cell, one.resampled)
        folder.save()


def _train(shared: tuple[Plan, Path], condition: Condition) -> list[Trained]:
    plan, out = shared
    captioned = condition.tower == plan.captioned
    path = checkpoint_path(out, Tower(plan.caption_share, 0)) if captioned else None
    image_tower = plan.towers[0] if captioned else condition.tower  # regions are the same whatever the text tower
    images = _images(image_tower, condition.world, plan.train_scenes, plan.test_scenes)
    backbone = _backbone(condition.tower, path)
    return train(images, backbone, recipe_of(plan.context_rate), condition.observed, plan.seeds)


@lru_cache(maxsize=8)
def _backbone(tower: str, path: Path | None = None) -> Backbone:
    """A tower of the package, or one that was pretrained here."""
    return open_backbone(tower) if path is None else load_backbone(path)


@lru_cache(maxsize=8)
def _images(image_tower: str, world: str, train_scenes: int, test_scenes: int) -> Images:
    """A world under an image tower of the package, encoded once in a process."""
    options = DataOptions(scenes_train=train_scenes, scenes_test=test_scenes)
    parts: list[LabelledImages] = [load_data(world, purpose=part, options=options) for part in ("train", "test")]
    regions = [extract(FreshRegions(_backbone(image_tower), part.images))[1] for part in parts]
    return Images(parts[0].class_names, regions[0], parts[0].labels, regions[1], parts[1].labels)
