"""The experiment from text sides to scores; a repeated call continues with what is not finished."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from promptmlr.backbone import Backbone, load_backbone
from promptmlr.backbone.checkpoint import own_state_dict
from promptmlr.data import DataOptions, LabelledImages, load_data
from promptmlr.errors import UserError
from promptmlr.paper.absence.plan import BASELINE, METHODS, Plan, Tower
from promptmlr.paper.absence.towers import Probe, checkpoint_path, pretrain_towers, probe_towers
from promptmlr.paper.design.cells import Cell
from promptmlr.paper.design.choices import CellChoice, read_choices, write_choices
from promptmlr.paper.design.search import Choice
from promptmlr.paper.design.training import CellScores, Shared, saturated_at_start, score_cell, search
from promptmlr.paper.grid.folder import GridFolder
from promptmlr.paper.grid.results import GridResults
from promptmlr.paper.jobs import Deadline, completed_tasks
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions, RegionSource, extract
from promptmlr.reporting import Reporter
from promptmlr.scenes.captions import ABSENCE_RATE
from promptmlr.scenes.text_side import TextSideConfig, encode_scenes

__all__ = ["Results", "row_name", "run_absence"]


@dataclass(frozen=True, eq=False)
class Results:
    """A finished experiment.

    Attributes:
        plan: the plan that was run.
        probes: measurements of all text sides.
        choices: rates and epochs of every method at every fraction.
        scores: rows are "method @ rate" and "baseline"; seeds are those of the text sides, each a mean over masks.
    """

    plan: Plan
    probes: list[Probe]
    choices: list[CellChoice]
    scores: GridResults


def row_name(method: str, rate: float) -> str:
    """The name of a row of the results."""
    return f"{method} @ {rate:g}"


def run_absence(
    plan: Plan, out: str | Path, *, jobs: int = 1, minutes: float | None = None, reporter: Reporter | None = None
) -> Results:
    """Pretrain text sides, probe them, train every method on each, and score it.

    Args:
        plan: what is varied and held fixed.
        out: a folder: `towers/`, `probes.csv`, `choices.csv`, `curves.csv`, and the cells as `GridFolder` keeps them.
        jobs: processes.
        minutes: after which no more cells are begun; None is no limit.
        reporter: receives progress and messages.

    Raises:
        OutOfTime: `minutes` are over.
        UserError: the folder holds cells of another plan.
    """
    reporter = reporter or Reporter()
    if ABSENCE_RATE not in plan.rates or max(plan.rates) == ABSENCE_RATE:
        raise UserError(
            f"--rates must hold {ABSENCE_RATE:g}, LAION's share, as the reference of all comparisons, and a larger one"
        )
    for rate in plan.rates:
        TextSideConfig(rate)  # refuses a rate outside 0..1
    out = Path(out)
    deadline = Deadline(minutes)
    folder = GridFolder(out, "experiment absence")
    with folder.held({"absence": _setting(plan)}):
        missing = [tower for tower in plan.towers if not checkpoint_path(out, tower).exists()]
        if missing:
            tower = own_state_dict("scenes")
            assert tower is not None
            with reporter.progress("drawing and encoding scenes") as say:
                seen = encode_scenes(tower[1], plan.scenes, progress=say)
            pretrain_towers(seen, plan, missing, out, jobs, deadline, reporter)
        shared = _shared_by_cells(plan, out, reporter)
        probes = probe_towers(plan, out, shared.test, shared.test_labels, shared.class_names, reporter)
        choices = _search(plan, shared, out, jobs, deadline, reporter)
        _score(plan, shared, folder, {key: found.choice for key, found in choices.items()}, jobs, deadline, reporter)
    asked = [(cell.name, fraction) for cell in (*METHODS.values(), BASELINE) for fraction in plan.observed]
    return Results(plan, probes, [choices[cell] for cell in asked], _results(plan, folder))


def _setting(plan: Plan) -> dict[str, object]:
    """The settings of a cell: all of the plan but the lists of towers, fractions and seeds."""
    free = {"rates", "tower_seeds", "observed", "seeds"}
    return {key: value for key, value in asdict(plan).items() if key not in free}


def _shared_by_cells(plan: Plan, out: Path, reporter: Reporter) -> Shared:
    """What all cells share; regions are the same for all text sides because these share one image tower."""
    backbone = _backbone(checkpoint_path(out, plan.reference))
    options = DataOptions(scenes_train=plan.train_scenes, scenes_test=plan.test_scenes)

    def encoded(data: LabelledImages) -> RegionSource:
        with reporter.progress("encoding images") as say:
            return extract(FreshRegions(backbone, data.images), progress=say)[1]

    train, test = (load_data("scenes", purpose=purpose, options=options) for purpose in ("train", "test"))
    return Shared(
        backbone,
        train.class_names,
        encoded(train),
        train.labels,
        encoded(test),
        test.labels,
        load_recipe("default", "dualcoop", batch_size=plan.batch_size),
        plan.rule,
        plan.seeds,
    )


@lru_cache(maxsize=2)
def _backbone(path: Path) -> Backbone:
    return load_backbone(path)


def _search(
    plan: Plan, shared: Shared, out: Path, jobs: int, deadline: Deadline, reporter: Reporter
) -> dict[tuple[str, float], CellChoice]:
    """Rates and epochs of every method at every fraction, on the reference."""
    choices = {(found.cell, found.observed): found for found in read_choices(out)}
    tasks = [
        (cell, fraction)
        for cell in (*METHODS.values(), BASELINE)
        for fraction in plan.observed
        if (cell.name, fraction) not in choices
    ]
    searched = completed_tasks(_search_one, shared, tasks, jobs, deadline, label="rates and epochs", reporter=reporter)
    for (cell, fraction), (choice, saturated) in searched:
        choices[cell.name, fraction] = CellChoice(cell.name, fraction, choice, saturated)
        write_choices(out, choices.values())
    return choices


def _search_one(shared: Shared, task: tuple[Cell, float]) -> tuple[Choice, float]:
    return search(shared, *task), saturated_at_start(shared, task[0])


_Task = tuple[str, Path, Cell, float, Choice]  # row, checkpoint, cell, observed, choice


def _score(
    plan: Plan,
    shared: Shared,
    folder: GridFolder,
    choices: dict[tuple[str, float], Choice],
    jobs: int,
    deadline: Deadline,
    reporter: Reporter,
) -> None:
    """Train and score the missing cells; the baseline, which has no text, only with the reference tower."""
    wanted = [(plan.reference, BASELINE)] + [(tower, cell) for tower in plan.towers for cell in METHODS.values()]
    tasks: list[_Task] = [
        (_cell_name(tower, cell), checkpoint_path(folder.path, tower), cell, fraction, choices[cell.name, fraction])
        for tower, cell in wanted
        for fraction in plan.observed
        if not folder.has_all(_cell_name(tower, cell), fraction, plan.seeds)
    ]
    scored = completed_tasks(
        _score_one, shared, tasks, jobs, deadline, label="methods on text sides", reporter=reporter
    )
    for (name, _, _, fraction, _), found in scored:
        found.add_to(folder, name, fraction)


def _cell_name(tower: Tower, cell: Cell) -> str:
    return cell.name if cell == BASELINE else f"{tower.name} {cell.name}"


def _score_one(shared: Shared, task: _Task) -> CellScores:
    _, path, cell, fraction, choice = task
    return score_cell(replace(shared, backbone=_backbone(path)), cell, fraction, choice)


def _results(plan: Plan, folder: GridFolder) -> GridResults:
    """Means over masks; the seeds of the result are those of the text sides."""
    cells = {row_name(method, rate): (rate, cell) for rate in plan.rates for method, cell in METHODS.items()}
    rows: dict[str, Sequence[str]] = {
        name: [_cell_name(Tower(rate, seed), cell) for seed in range(plan.tower_seeds)]
        for name, (rate, cell) in cells.items()
    }
    rows["baseline"] = [BASELINE.name] * plan.tower_seeds
    simple_effects = [folder.results(names, plan.observed, plan.seeds) for names in rows.values()]
    return GridResults(
        list(rows),
        plan.observed,
        np.array([part.scores.mean(axis=2).T for part in simple_effects]),
        np.array([part.resampled.mean(axis=2).swapaxes(0, 1) for part in simple_effects]),
        [part.learned[0] for part in simple_effects],
    )
