"""Labels that are not missing at random: what mAP and probabilities lose at the same number of present labels.

    python bench/missing.py --world scenes --observed 0.1 --seeds 3

Of each kind as many present labels are known as a random mask keeps; what differs is which, and what the rest is.
"""

import argparse

import numpy as np

from promptmlr.backbone import load_backbone
from promptmlr.calibration import fit_calibration
from promptmlr.data import load_data
from promptmlr.evaluation import evaluate
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, hide, hold_out, keep_mask
from promptmlr.methods import create_recognizer
from promptmlr.prediction import predict_margins
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions, extract
from promptmlr.reliability import reliability
from promptmlr.report.tables import markdown_table
from promptmlr.scenes import WORLDS, draw_scene
from promptmlr.training import fit

BLINDER = 5  # times less likely an absent label is known where people tick what they see


def sizes(data):
    """(N, C) height and width in pixels of the largest object of each class, 0 where there is none."""
    found = np.zeros(data.labels.shape)
    for row, image in enumerate(data.images):
        for thing in draw_scene(image.seed, image.index, WORLDS[image.world]).objects:
            left, top, right, bottom = thing.box
            found[row, thing.class_index] = max(found[row, thing.class_index], right - left, bottom - top)
    return found


def kinds(truth, extents, observed, seed):
    """What is known of (N, C) labels, by what decides about it."""
    keep = keep_mask(truth.shape, observed, seed)
    present = truth == PRESENT
    fewer = keep_mask(truth.shape, observed / BLINDER, seed)
    large = np.zeros(truth.shape, dtype=bool)
    for column in range(truth.shape[1]):  # as many of each class as at random, the largest
        rows = np.flatnonzero(present[:, column])
        largest = rows[np.argsort(-extents[rows, column], kind="stable")]
        large[largest[: (keep & present)[:, column].sum()], column] = True
    ticked = np.where(keep & present, PRESENT, UNKNOWN)
    return {
        "at random": hide(truth, keep),
        "present ones where the object is largest, absent ones at random": hide(truth, np.where(present, large, keep)),
        f"absent ones {BLINDER} times less often than present ones": hide(truth, np.where(present, keep, fewer)),
        "what is not ticked, taken for absent": np.where(ticked == PRESENT, PRESENT, ABSENT).astype(np.int8),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", default="scenes")
    parser.add_argument("--method", default="dualembedding")
    parser.add_argument("--observed", type=float, default=0.1)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    backbone = load_backbone("scenes")
    train, test = load_data(asked.world), load_data(asked.world, purpose="test")
    source, tested = (extract(FreshRegions(backbone, data.images))[1] for data in (train, test))
    extents, found = sizes(train), {}
    for seed in range(asked.seeds):
        for kind, labels in kinds(train.labels, extents, asked.observed, seed).items():
            recipe = load_recipe("default", asked.method, observed=float((labels != UNKNOWN).mean()))
            fitted, held = hold_out(labels, 0.1, seed)
            recognizer = create_recognizer(
                asked.method, backbone, train.class_names, seed=seed, **recipe.start_options()
            )
            fit(recognizer, source, fitted, recipe)
            folded = recognizer.fold()
            lines = fit_calibration(predict_margins(folded, source)[1], held, fitted == UNKNOWN)
            probabilities = lines.probabilities(predict_margins(folded, tested)[1])
            score = evaluate(probabilities, test.labels, test.class_names, resamples=0).mean_ap
            error = reliability(probabilities, test.labels).calibration_error
            found.setdefault(kind, []).append((score, probabilities.mean(), error))
    share = (test.labels == PRESENT).mean()
    print(f"{asked.method} on {asked.world}, {asked.observed:g} observed, means and ranges over {asked.seeds} seeds;")
    print(f"{100 * share:.1f} % of the test labels are present\n")
    rows = []
    for kind, values in found.items():
        columns = 100 * np.array(values).T
        rows.append([kind, *(f"{one.mean():.1f} ({one.min():.1f} to {one.max():.1f})" for one in columns)])
    print(markdown_table(["what is known", "mAP", "mean probability %", "calibration error, points"], rows, words=1))


if __name__ == "__main__":
    main()
