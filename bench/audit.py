"""Errors planted among the labels, and how many of those that `promptmlr audit` doubts are such errors.

python bench/audit.py --worlds scenes,scenes:crowded:1 --observed 0.1,0.5 --wrong 0.02,0.05 --seeds 3
"""

import argparse
import itertools
from dataclasses import replace

import numpy as np

from promptmlr.advice.audit import label_qualities
from promptmlr.backbone import load_backbone
from promptmlr.crossvalidation import Subject, out_of_fold
from promptmlr.data import load_data
from promptmlr.labels import UNKNOWN, hide, keep_mask
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions, extract
from promptmlr.report.tables import markdown_table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", default="scenes,scenes:crowded:1")
    parser.add_argument("--method", default="dualembedding")
    parser.add_argument("--observed", default="0.1,0.5")
    parser.add_argument("--wrong", default="0.02,0.05", help="shares of the observed labels that are turned round")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    backbone = load_backbone("scenes")
    rows = []
    for name in asked.worlds.split(","):
        data = load_data(name)
        source = extract(FreshRegions(backbone, data.images))[1]
        columns = {one: column for column, one in enumerate(data.class_names)}
        places = {one: row for row, one in enumerate(data.image_ids)}
        for observed, share in itertools.product(
            *(map(float, text.split(",")) for text in (asked.observed, asked.wrong))
        ):
            found = []
            for seed in range(asked.seeds):
                labels = hide(data.labels, keep_mask(data.labels.shape, observed, seed))
                known = np.flatnonzero(labels != UNKNOWN)
                wrong = np.random.default_rng([seed, 3]).choice(known, round(share * len(known)), replace=False)
                labels.flat[wrong] = 1 - labels.flat[wrong]
                recipe = load_recipe("default", asked.method, observed=observed)
                margins = out_of_fold(Subject(backbone, data.class_names, source, labels, seed), asked.method, recipe)
                ranked = label_qualities(replace(data, labels=labels), margins)
                hit = np.array(
                    [data.labels[places[one.image_id], columns[one.class_name]] != one.label for one in ranked]
                )
                issues = np.array([one.issue for one in ranked])
                found.append((hit[issues].mean(), hit[issues].sum() / len(wrong), hit[:100].mean()))
            precision, recall, top = 100 * np.mean(found, axis=0)
            rows.append(
                (
                    name,
                    f"{100 * observed:g} %",
                    f"{100 * share:g} %",
                    *(f"{one:.0f} %" for one in (precision, recall, top)),
                )
            )
            print("  ".join(rows[-1]), flush=True)
    header = (
        "world",
        "observed",
        "planted errors",
        "precision of issues",
        "errors found",
        "precision of the first 100",
    )
    print("\n" + markdown_table(header, rows, 1))


if __name__ == "__main__":
    main()
