"""Labels that go missing as in life: what methods, costs of unknown labels and calibrations make of it.

    python bench/missing.py --out docs/failure-modes
    python bench/missing.py --out docs/failure-modes --tables   # the tables again, from missing.csv

The same share of the labels is known in every pattern of `promptmlr.labels.patterns`, and at random for comparison;
what differs is which. Two drawn worlds that nothing was chosen on; test labels are complete. Methods with a prior give
probabilities of their own; the others are trained on nine tenths of the known labels and calibrated on the rest.
"""

import argparse
import csv
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path

import numpy as np
from scipy.special import expit

from promptmlr.backbone import load_backbone
from promptmlr.calibration import fit_calibration
from promptmlr.data import DataOptions, load_data
from promptmlr.evaluation import evaluate, log_loss
from promptmlr.files import write_text
from promptmlr.labels import PRESENT, UNKNOWN, Observation, hide, hold_out
from promptmlr.labels.patterns import PATTERNS
from promptmlr.methods import METHOD_TABLE, create_recognizer
from promptmlr.prediction import predict_margins
from promptmlr.prior.fitting import begin_run
from promptmlr.prior.positive_only import positive_only_classes
from promptmlr.prior.recalibration import recalibrate
from promptmlr.prior.zero_shot import level_shift
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions, extract
from promptmlr.reliability import reliability
from promptmlr.report.tables import markdown_table, write_csv
from promptmlr.training import fit_runs
from promptmlr.unknown import UNKNOWN_COSTS

WORLDS = ("scenes:usual:21", "scenes:crowded:22")
SHARE = 0.1
RANDOM = "random"
KINDS = (RANDOM, *PATTERNS)
METHODS = ("anchored", "dualembedding", "positivecoop", "baseline", "zeroshot")
COSTLY = ("anchored", "dualembedding")  # methods that are trained with every cost of unknown labels
IMAGES, SCORED = 300, 1000
COMPLETE = 50  # images beside the scored ones, all of whose labels are known, to calibrate on
OWN, SHARES, IMAGES_LABELLED = "its own", "--share", f"{COMPLETE} images"
FIELDS = (
    *("world", "pattern", "seed", "method", "unknown", "calibration"),
    *("mean_ap", "log_loss", "calibration_error", "level"),
)


@dataclass(frozen=True, eq=False)
class World:
    """Images with their regions, to train on and to score, and the frozen CLIP."""

    name: str
    backbone: object
    train: object
    source: object
    test: object
    tested: object

    @classmethod
    @cache
    def drawn(cls, name, images):
        backbone = load_backbone("scenes")
        options = DataOptions(scenes_train=images, scenes_test=SCORED + COMPLETE)
        train, test = (load_data(name, purpose, options) for purpose in ("train", "test"))
        source, tested = (extract(FreshRegions(backbone, data.images))[1] for data in (train, test))
        return cls(name, backbone, train, source, test, tested)


def observed(world, kind, seed):
    """(N, C) the labels that training sees."""
    name = f"{SHARE:g}" if kind == RANDOM else f"{kind}:{SHARE:g}"
    return hide(world.train.labels, world.train.kept(Observation.parse(name), seed))


def trained(world, method, labels, cost=None, share=None):
    """A trained run for each seed, and the labels that were held out to calibrate it."""
    changes = {} if cost is None else {"unknown": cost}
    recipe = load_recipe("default", method, observed=SHARE, **changes)
    begun, held_out = [], []
    for seed, seen in enumerate(labels):
        fitted, held = (seen, None) if recipe.has_prior else hold_out(seen, 0.1, seed)
        recognizer = create_recognizer(
            method, world.backbone, world.train.class_names, seed=seed, **recipe.start_options()
        )
        begun.append(begin_run(recognizer, world.source, fitted, recipe, seed=seed, share=share))
        held_out.append(held)
    if METHOD_TABLE[method].trained:
        for resolved in {one.run.recipe.unknown for one in begun}:
            fit_runs([one.run for one in begun if one.run.recipe.unknown == resolved], world.source)
    return [recalibrate(one) for one in begun], held_out


def probabilities_of(world, begun, held, share):
    """Calibration → (N, C) probabilities of the test images, those that it may be calibrated on among them."""
    folded = begun.run.recognizer.fold()
    margins = predict_margins(folded, world.tested)[1]
    if share is not None:  # as prior.outcome.calibrated_by_prior
        return {SHARES: expit(margins + level_shift(predict_margins(folded, world.source)[1], np.array(share)))}
    found = {OWN: expit(margins)}
    if held is not None:
        labels = np.where(positive_only_classes(begun.run.labels), np.int8(UNKNOWN), held)
        unseen = begun.run.labels == UNKNOWN
        found[OWN] = fit_calibration(predict_margins(folded, world.source)[1], labels, unseen).probabilities(margins)
    few = slice(COMPLETE)
    lines = fit_calibration(margins[few], world.test.labels[few], np.ones_like(margins[few], bool))
    return found | {IMAGES_LABELLED: lines.probabilities(margins)}


def scores(world, begun, held, share=None):
    """A row of scores for each calibration."""
    labels = world.test.labels[COMPLETE:]
    for calibration, probabilities in probabilities_of(world, begun, held, share).items():
        scored = probabilities[COMPLETE:]
        yield {
            "calibration": calibration,
            "mean_ap": evaluate(scored, labels, world.test.class_names, resamples=0).mean_ap,
            "log_loss": log_loss(scored, labels),
            "calibration_error": reliability(scored, labels).calibration_error,
            "level": scored.mean() - (labels == PRESENT).mean(),
        }


def measured(world, kind, seeds):
    """The rows of a pattern on a world."""
    labels = [observed(world, kind, seed) for seed in range(seeds)]
    prevalence = (world.train.labels == PRESENT).mean(axis=0).tolist()
    asked = [(method, "auto", {}) for method in METHODS]
    asked += [(method, cost, {"cost": cost}) for method in COSTLY for cost in UNKNOWN_COSTS]
    asked += [(method, "auto", {"share": prevalence}) for method in METHODS if load_recipe("default", method).has_prior]
    for method, cost, options in asked:
        for seed, (begun, held) in enumerate(zip(*trained(world, method, labels, **options), strict=True)):
            row = {"world": world.name, "pattern": kind, "seed": seed, "method": method, "unknown": cost}
            yield from (row | found for found in scores(world, begun, held, options.get("share")))


def measured_place(place, images, seeds):
    """The rows of a pattern on a world, by their names."""
    name, kind = place
    rows = list(measured(World.drawn(name, images), kind, seeds))
    print(f"{name}: {kind} is measured", flush=True)
    return [row | {field: f"{row[field]:.6f}" for field in FIELDS[6:]} for row in rows]


def chosen(rows, field, **wanted):
    """(worlds × seeds,) values of a field in percent, always in the same order."""
    found = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    found.sort(key=lambda row: (row["world"], int(row["seed"])))
    return 100 * np.array([float(row[field]) for row in found])


def lost(rows, kind, **wanted):
    """Percent mAP, and how it differs from the mAP where labels are missing at random: the mean, and the range."""
    wanted |= {"calibration": OWN}
    found = [chosen(rows, "mean_ap", pattern=one, **wanted) for one in (kind, RANDOM)]
    if kind == RANDOM:
        return f"{found[0].mean():.1f}"
    differences = found[0] - found[1]
    change = f"{differences.mean():+.1f}; {differences.min():+.1f} to {differences.max():+.1f}".replace("-", "−")
    return f"{found[0].mean():.1f} ({change})"


def error(rows, kind, **wanted):
    """Calibration error in points, and by how much probabilities are too high in the mean."""
    values = [chosen(rows, field, pattern=kind, **wanted).mean() for field in ("calibration_error", "level")]
    return "{:.1f} ({:+.1f})".format(*values).replace("-", "−")


def ranked_and_off(rows, kind, **wanted):
    """Percent mAP, and calibration error in points."""
    wanted |= {"calibration": OWN}
    found = [chosen(rows, field, pattern=kind, **wanted).mean() for field in ("mean_ap", "calibration_error")]
    return "{:.1f}; {:.1f}".format(*found)


def tables(rows):
    """All tables as Markdown, from the rows of missing.csv."""
    usual = {"unknown": "auto"}
    columns = [(method, found) for method in ("anchored", "zeroshot") for found in (OWN, SHARES, IMAGES_LABELLED)]
    kept = {"method": "anchored", **usual}
    parts = {
        "anchored, the default: mAP, % (change, and its range); calibration error, points (too high in the mean)": (
            ("mAP", "calibration error", "with --share", f"with {COMPLETE} images", "--unknown hill: mAP; error"),
            [
                partial(lost, **kept),
                *(partial(error, calibration=one, **kept) for one in (OWN, SHARES, IMAGES_LABELLED)),
                partial(ranked_and_off, method="anchored", unknown="hill"),
            ],
        ),
        "mAP, % (by how much it differs from that at random, and the range over worlds and seeds)": (
            METHODS,
            [partial(lost, method=method, **usual) for method in METHODS],
        ),
        "Calibration error, points (in brackets by how much probabilities are too high in the mean)": (
            METHODS,
            [partial(error, method=method, calibration=OWN, **usual) for method in METHODS],
        ),
    }
    for method in COSTLY:
        parts[f"{method} by --unknown: mAP, %; calibration error, points"] = (
            ("auto", *UNKNOWN_COSTS),
            [partial(ranked_and_off, method=method, unknown=cost) for cost in ("auto", *UNKNOWN_COSTS)],
        )
    parts["Calibration error by what it is calibrated on, points (too high in the mean)"] = (
        [f"{method}, {calibration}" for method, calibration in columns],
        [partial(error, method=method, calibration=found, **usual) for method, found in columns],
    )
    worlds, seeds = sorted({row["world"] for row in rows}), len({row["seed"] for row in rows})
    known = f"{100 * SHARE:g} % of the labels of {IMAGES:,} images are known"
    text = [f"{known}; means over {' and '.join(worlds)}, {seeds} seeds each."]
    for title, (header, cells) in parts.items():
        body = [[kind, *(cell(rows, kind) for cell in cells)] for kind in KINDS]
        text.append(f"**{title}**\n\n" + markdown_table(["what is known", *header], body, words=1).strip())
    return "\n\n".join(text) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for missing.csv and missing.md")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--tables", action="store_true", help="measure nothing; write missing.md from missing.csv")
    asked = parser.parse_args()
    path = asked.out / "missing.csv"
    if not asked.tables:
        with ProcessPoolExecutor(asked.jobs) as pool:
            measure = partial(measured_place, images=asked.images, seeds=asked.seeds)
            rows = [row for found in pool.map(measure, product(WORLDS, KINDS)) for row in found]
        write_csv(path, FIELDS, rows)
    with path.open(encoding="utf-8", newline="") as file:
        text = tables(list(csv.DictReader(file)))
    write_text(asked.out / "missing.md", text)
    print(text)


if __name__ == "__main__":
    main()
