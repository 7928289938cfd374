"""What classes are worth that a run was given by name, beside the zero-shot of all classes without any label.

python bench/more_classes.py --worlds scenes,scenes:crowded:1 --images 1,10,100,400 --seeds 2

Of the classes of a drawn world three fifths are trained on a tenth of their labels; the others are added by name,
seen on so
many test images, and scored on all of them.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from promptmlr.backbone import load_backbone
from promptmlr.calibration import log_loss
from promptmlr.data import DataOptions, load_data
from promptmlr.evaluation import evaluate
from promptmlr.labels import PRESENT, keep_mask
from promptmlr.more_classes import with_classes
from promptmlr.pipeline import TrainingJob, train_run
from promptmlr.recipes import load_recipe
from promptmlr.report.tables import markdown_table
from promptmlr.run import load_run
from promptmlr.tagging import zero_shot_run

METHOD = "anchored"
FEW = DataOptions(scenes_train=400, scenes_test=400)


def trained(backbone, data, observed, seed, folder):
    keep = keep_mask(data.labels.shape, observed, seed)
    job = TrainingJob(METHOD, load_recipe("default", METHOD), data, keep, seed=seed)
    run = load_run(train_run(job, backbone, folder / "run", workers=0))
    run.adopt(backbone)
    return run


def scored(probabilities, labels, names):
    """MAP, log loss, mean probability and share present, of the classes named."""
    odds = np.log(probabilities) - np.log1p(-probabilities)
    score = evaluate(probabilities, labels, names, resamples=0).mean_ap
    there = labels == PRESENT
    return 100 * score, log_loss(odds.astype(np.float64), there), 100 * probabilities.mean(), 100 * there.mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", default="scenes,scenes:crowded:1,scenes:strangers:2")
    parser.add_argument("--images", default="1,10,100,400")
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    counts = [int(text) for text in asked.images.split(",")]
    backbone, rows = load_backbone("scenes"), []
    for world in asked.worlds.split(","):
        train, test = (load_data(world, purpose=purpose, options=FEW) for purpose in ("train", "test"))
        names, found = np.array(train.class_names), []
        for seed in range(asked.seeds):
            order = np.random.default_rng(seed).permutation(len(names))
            old, new = np.sort(order[: 3 * len(names) // 5]), np.sort(order[3 * len(names) // 5 :])
            truth, more = test.labels[:, new], tuple(names[new])
            with tempfile.TemporaryDirectory() as folder:
                files = [Path(folder) / f"{number:04d}.png" for number in range(len(test.images))]
                for image, file in zip(test.images, files, strict=True):
                    image.open().save(file)
                some = replace(train, labels=train.labels[:, old], class_names=tuple(names[old]))
                run = trained(backbone, some, 0.1, seed, Path(folder))
                bare = zero_shot_run(backbone, files, tuple(names), workers=0).predict(files)[:, new]
                given = [with_classes(run, more, files[:count], workers=0).predict(files) for count in counts]
            each = [scored(one[:, len(old) :], truth, more) for one in given]
            found.append([*each, scored(bare, truth, more)])
        kinds = [*(f"by name, seen on {count}" for count in counts), "zero-shot of all classes"]
        for kind, (mean_ap, loss, level, share) in zip(kinds, np.mean(found, axis=0), strict=True):
            rows.append((world, kind, f"{mean_ap:.1f}", f"{loss:.3f}", f"{level:.1f}", f"{share:.1f}"))
            print("  ".join(rows[-1]), flush=True)
    header = ("world", "new classes", "mAP %", "log loss", "mean probability %", "present %")
    print("\n" + markdown_table(header, rows, 2))


if __name__ == "__main__":
    main()
