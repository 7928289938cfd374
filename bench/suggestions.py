"""Labels chosen by `promptmlr suggest` against labels chosen at random: mAP after each round of labelling.

    python bench/suggestions.py --worlds scenes,scenes:crowded:1 --seeds 3 --rounds 6 --cells 200 --out FOLDER

Every round trains on the labels there are, asks for so many unknown cells, and looks them up. Both ways begin with the
same labels; differences are paired by seed and world, with 95 % intervals of Student's t over these pairs.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy import stats

from promptmlr.advice.suggestion import rank_cells
from promptmlr.backbone import load_backbone
from promptmlr.calibration import fit_calibration
from promptmlr.data import load_data
from promptmlr.evaluation import evaluate
from promptmlr.files import write_bytes, write_text
from promptmlr.labels import PRESENT, UNKNOWN, hide, hold_out, keep_mask
from promptmlr.methods import create_recognizer
from promptmlr.prediction import predict_margins
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions, InMemoryRegions, extract
from promptmlr.report.figures import figure_png
from promptmlr.report.tables import csv_text, markdown_table, signed
from promptmlr.training import fit

WAYS = ("random", "suggested")


class World:
    """Regions and labels of a drawn world."""

    def __init__(self, name, backbone, method):
        self.name, self.backbone, self.method = name, backbone, method
        self.train, self.test = load_data(name), load_data(name, purpose="test")
        self.regions, self.test_regions = (
            extract(FreshRegions(backbone, data.images))[1] for data in (self.train, self.test)
        )

    def trained(self, labels, seed):
        """Calibrated probabilities of the training images, and mAP on the test images."""
        known = np.flatnonzero((labels != UNKNOWN).any(axis=1))
        recipe = load_recipe("default", self.method, observed=float((labels != UNKNOWN).mean()))
        fitted, held = hold_out(labels, 0.1, seed)
        recognizer = create_recognizer(
            self.method, self.backbone, self.train.class_names, seed=seed, **recipe.start_options()
        )
        fit(recognizer, InMemoryRegions(self.regions.regions[torch.from_numpy(known)]), fitted[known], recipe)
        folded = recognizer.fold()
        found = predict_margins(folded, self.regions)[1]
        lines = fit_calibration(found, held, fitted == UNKNOWN)
        tested = predict_margins(folded, self.test_regions)[1]
        score = evaluate(tested, self.test.labels, self.test.class_names, threshold=0.0, resamples=0).mean_ap
        return lines.probabilities(found), score


def labelled(world, way, seed, rounds, cells, share):
    """mAP before the first round and after each."""
    truth = world.train.labels
    labels = hide(truth, keep_mask(truth.shape, share, seed))
    rng = np.random.default_rng([seed, 7])
    scores = []
    for done in range(rounds + 1):
        probabilities, score = world.trained(labels, seed)
        scores.append(score)
        if done == rounds:
            break
        unknown = labels == UNKNOWN
        if way == "random":
            places = rng.choice(np.flatnonzero(unknown), cells, replace=False)
        else:
            ranked = rank_cells(probabilities, unknown, (labels == PRESENT).sum(axis=0), cells)
            places = np.ravel_multi_index(np.array([cell[:2] for cell in ranked]).T, labels.shape)
        labels.flat[places] = truth.flat[places]
    return scores


def interval(values):
    """Mean and 95 % interval of (K, …) values over K pairs."""
    mean, count = values.mean(axis=0), len(values)
    half = stats.t.ppf(0.975, count - 1) * values.std(axis=0, ddof=1) / np.sqrt(count) if count > 1 else np.nan * mean
    return mean, mean - half, mean + half


def labels_needed(random, suggested, counts):
    """How many labels the suggested way needs for the last score of the random one, linear between rounds."""
    reached = np.maximum.accumulate(suggested)
    return float(np.interp(random[-1], reached, counts)) if reached[-1] >= random[-1] else float("nan")


def drawn(counts, random, suggested):
    """Every pair's two ways, and the mean of their differences with its interval."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for way, scores, colour in zip(WAYS, (random, suggested), ("#566072", "#1a5fb4"), strict=True):
        for place, one in enumerate(scores):
            left.plot(counts, one, "o-", color=colour, label=None if place else way, markersize=3, linewidth=1)
    mean, low, high = interval(suggested - random)
    right.plot(counts, mean, "o-", color="#1a5fb4", markersize=4)
    right.fill_between(counts, low, high, color="#1a5fb4", alpha=0.15, linewidth=0)
    right.axhline(0, color="#566072", linewidth=1)
    left.set_ylabel("mAP, %")
    right.set_ylabel("suggested − random, points of mAP")
    for axes in (left, right):
        axes.set_xlabel("labels")
        axes.grid(color="#e3e7ed")
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", default="scenes,scenes:crowded:1,scenes:grainy:3")
    parser.add_argument("--method", default="dualembedding")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--share", type=float, default=0.01, help="of the labels, known at the start")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()

    backbone = load_backbone("scenes")
    scores = {way: [] for way in WAYS}
    records = []
    for name in asked.worlds.split(","):
        world = World(name, backbone, asked.method)
        start = round(asked.share * world.train.labels.size)
        counts = [start + asked.cells * done for done in range(asked.rounds + 1)]
        for seed, way in itertools.product(range(asked.first_seed, asked.first_seed + asked.seeds), WAYS):
            found = labelled(world, way, seed, asked.rounds, asked.cells, asked.share)
            scores[way].append(found)
            records += [
                {"world": name, "seed": seed, "way": way, "labels": count, "mean_ap": one}
                for count, one in zip(counts, found, strict=True)
            ]
            print(f"{name} seed {seed} {way}: " + " ".join(f"{100 * one:.1f}" for one in found), flush=True)
    random, suggested = (100 * np.array(scores[way]) for way in WAYS)
    means = {"random": interval(random), "suggested": interval(suggested), "difference": interval(suggested - random)}
    rows = []
    for place, count in enumerate(counts):
        both = [f"{means[way][0][place]:.1f}" for way in WAYS]
        mean, low, high = (signed(end[place]) for end in means["difference"])
        rows.append([f"{count:,}", *both, f"{mean} ({low} to {high})"])
    table = markdown_table(("labels", *WAYS, "difference (95 % interval)"), rows, 0)
    needed = np.array([labels_needed(*pair, counts) for pair in zip(random, suggested, strict=True)])
    first = f", the first {asked.first_seed}" if asked.first_seed else ""
    said = (
        f"mAP in percent, mean over {len(random)} pairs ({asked.worlds}; {asked.seeds} seeds each{first}), "
        f"{asked.method}. For what random labels reach with {counts[-1]:,}, suggested ones need "
        f"{np.nanmedian(needed):,.0f} (median; {int(np.isnan(needed).sum())} of {len(needed)} pairs did not get there)."
    )
    print(f"\n{table}\n\n{said}")
    if asked.out is not None:
        write_text(asked.out / "suggestions.csv", csv_text(("world", "seed", "way", "labels", "mean_ap"), records))
        write_text(asked.out / "suggestions.md", f"{table}\n\n{said}\n")
        write_bytes(asked.out / "suggestions.png", figure_png(drawn(counts, random, suggested), 1200))


if __name__ == "__main__":
    main()
