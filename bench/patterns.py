"""What was measured of how labels go missing in life, and how well the patterns of `--observed` match it.

    python bench/patterns.py lvis_val_100.json --out src/promptmlr/labels/patterns/lvis.toml
    python bench/patterns.py lvis_val_100.json > docs/failure-modes/patterns.md  # labels of LVIS (lvis-api, data/)

LVIS: what is annotated is present, `neg_category_ids` are verified absent, everything else is unknown. Its real share
of known labels is set beside that of the pattern `federated` on drawn labels with LVIS's prevalence, and the counts of
CheXpert (`chexpert.toml`) beside those of `report`.
"""

import argparse
import json
import sys
import tomllib
from pathlib import Path

import numpy as np

from promptmlr.files import write_text
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Observation, hide
from promptmlr.labels.patterns import PATTERNS, federated, propensities, report
from promptmlr.report.tables import markdown_table

FREQUENCIES = {"rare": "r", "common": "c", "frequent": "f"}  # LVIS's own groups of its classes
DRAWS = 20
ANNOTATED = 0.25  # of what is present, assumed for the drawn labels: nobody knows how much of it LVIS's people spotted
SOURCE = """\
# Measured by python bench/patterns.py on {images} images of LVIS's validation labels (Gupta et al., "LVIS: A Dataset
# for Large Vocabulary Instance Segmentation", CVPR 2019): data/{name} of github.com/lvis-dataset/lvis-api.
# Known labels per image: {present:.2f} present, {absent:.2f} absent, of {classes:,} classes.
"""


def read_lvis(path):
    """(N, C) known labels, -1 elsewhere, and (C,) the letter of each class's frequency."""
    read = json.loads(path.read_text(encoding="utf-8"))
    column = {category["id"]: index for index, category in enumerate(read["categories"])}
    row = {image["id"]: index for index, image in enumerate(read["images"])}
    labels = np.full((len(row), len(column)), UNKNOWN, np.int8)
    for image in read["images"]:
        labels[row[image["id"]], [column[absent] for absent in image["neg_category_ids"]]] = ABSENT
    for found in read["annotations"]:
        labels[row[found["image_id"]], column[found["category_id"]]] = PRESENT
    return labels, np.array([category["frequency"] for category in read["categories"]])


def prevalences(labels, frequency):
    """(C,) shares of the images in which classes are present: of a hundred images those of their group are known."""
    found = np.zeros(labels.shape[1])
    for letter in FREQUENCIES.values():
        found[frequency == letter] = (labels[:, frequency == letter] == PRESENT).mean()
    return found


def beyond_chance(counts):
    """Standard deviation, beyond that of Poisson, of the factors of mean 1 by which counts differ from their mean."""
    return float(np.sqrt(max(counts.var() - counts.mean(), 0.0)) / counts.mean())


def fitted(labels):
    """The parameters of `federated`, by moments."""
    absent = labels == ABSENT
    return {
        "absent_per_present": float(absent.sum() / (labels == PRESENT).sum()),
        "class_spread": beyond_chance(absent.sum(axis=0)),
        "image_spread": beyond_chance(absent.sum(axis=1)),
        "known_share": float((labels != UNKNOWN).mean()),
    }


def of_federated(labels, classes):
    """What is compared of known labels, for some classes."""
    part = labels[:, classes]
    present, absent = (part == PRESENT).sum(axis=0), (part == ABSENT).sum(axis=0)
    return np.array(
        [
            100 * (part == PRESENT).mean(),
            100 * (part == ABSENT).mean(),
            100 * (absent == 0).mean(),
            100 * ((present > 0) & (absent == 0)).sum() / max((present > 0).sum(), 1),
        ]
    )


def compare_federated(labels, frequency):
    """A row of real and simulated shares for each group of classes; and absent labels per image."""
    prevalence, observation = prevalences(labels, frequency) / ANNOTATED, Observation.parse("federated")
    drawn = []
    for seed in range(DRAWS):
        truth = (np.random.default_rng(seed).random(labels.shape) < prevalence).astype(np.int8)
        drawn.append(hide(truth, observation.keep(truth, seed)))
    groups = {"all": np.ones(len(frequency), bool)} | {
        name: frequency == letter for name, letter in FREQUENCIES.items()
    }
    rows = []
    for name, classes in groups.items():
        real, simulated = (
            of_federated(labels, classes),
            np.mean([of_federated(one, classes) for one in drawn], axis=0),
        )
        pairs = [f"{one:.2f} ({other:.2f})" for one, other in zip(real, simulated, strict=True)]
        rows.append([name, f"{classes.sum():,}", *pairs])
    quantiles = [np.quantile((one == ABSENT).sum(axis=1), [0.1, 0.5, 0.9]) for one in (labels, np.concatenate(drawn))]
    return rows, quantiles


def compare_report():
    """A row of real and simulated shares for each class of CheXpert, on drawn labels with its prevalence."""
    counted = report.COUNTED
    classes, images = counted["classes"], counted["images"]
    prevalence = np.array([one["present"] for one in classes.values()]) / images / report.MENTIONED
    truth = (np.random.default_rng(0).random((20_000, len(classes))) < prevalence).astype(np.int8)
    rates = np.where(truth == PRESENT, 1.0, report.absent_mentions())
    share = PATTERNS["report"].share
    kept = np.random.default_rng(1).random(truth.shape) < propensities(rates, truth != UNKNOWN, share)
    rows = []
    for column, (name, one) in enumerate(classes.items()):
        known = one["present"] + one["absent"]
        seen = kept[:, column]
        rows.append(
            [
                name,
                f"{100 * one['blank'] / images:.1f}",
                f"{100 * known / images:.1f} ({100 * seen.mean():.1f})",
                f"{100 * one['present'] / known:.1f} ({100 * truth[seen, column].mean():.1f})",
            ]
        )
    blank = sum(one["blank"] for one in classes.values()) / images / len(classes)
    return rows, blank, share


def parameters(labels, name):
    """The content of lvis.toml."""
    kinds = {kind: (labels == code).sum() / len(labels) for kind, code in (("present", PRESENT), ("absent", ABSENT))}
    head = SOURCE.format(images=len(labels), name=name, classes=labels.shape[1], **kinds)
    return head + "".join(f"{name} = {value:.4g}\n" for name, value in fitted(labels).items())


def comparison(labels, frequency):
    """How well both patterns match, as Markdown."""
    rows, quantiles = compare_federated(labels, frequency)
    header = ["classes", "number", "known present", "known absent", "without absent", "of the present, without absent"]
    federated_table = markdown_table(header, rows, words=1).strip()
    words = [", ".join(f"{one:.0f}" for one in quantile) for quantile in quantiles]
    rows, blank, share = compare_report()
    report_table = markdown_table(["class", "blank", "known", "present"], rows, words=1).strip()
    return f"""LVIS and, in brackets, `federated`: % of cells, then % of classes

{federated_table}

Absent labels of an image, the 10th, 50th and 90th percentile: {words[0]} ({words[1]}).

CheXpert ({100 * blank:.1f} % blank, {100 * share:.1f} % present or absent, the rest uncertain) and, in brackets,
`report`: % of cells, then % of known labels

{report_table}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=Path, help="LVIS's JSON file")
    parser.add_argument("--out", type=Path, help="write what was measured into this file")
    asked = parser.parse_args()
    labels, frequency = read_lvis(asked.annotations)
    found = parameters(labels, asked.annotations.name)
    if asked.out:
        write_text(asked.out, found)
    if tomllib.loads(found) != federated.FITTED:
        print("# Not the parameters that the pattern was loaded with; --out writes them.", file=sys.stderr)
    print(found, file=sys.stderr)
    print(comparison(labels, frequency), end="")


if __name__ == "__main__":
    main()
