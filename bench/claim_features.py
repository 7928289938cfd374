"""What precomputed features of photos can say of the claim: they have no text tower, so no prompt, and one region each.

    python bench/claim_features.py photos.npz [--text text_a_photo_of] [--observed 0.05,0.2,1] [--halves 5]

The file holds `features` (N, D), `labels` (N, C) of 1 and 0, `class_names` (C,) and text features (C, D). The photos
are cut into halves at random; one half is trained on, with a mask of its own, the other is scored. Both sides are
vectors with the prior of `anchored`; one, both or none is learned. mAP in percent on classes with enough positives,
and its differences in points: mean over halves, and the range.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from promptmlr.backbone.precomputed import PrecomputedFeatures
from promptmlr.labels import Labels, hide, keep_mask
from promptmlr.methods import create_recognizer
from promptmlr.paper.grid.scoring import mean_aps
from promptmlr.prior.fitting import begin_run
from promptmlr.recipes import load_recipe
from promptmlr.regions import InMemoryRegions
from promptmlr.report.tables import signed
from promptmlr.training import fit_runs

ENOUGH = 10  # positives of a class
FIXED: Mapping[str, tuple[str, ...]] = {
    "zero-shot": ("presence", "absence"),
    "presence learned": ("absence",),
    "absence learned": ("presence",),
    "both learned (anchored)": (),
}
"""Row → the sides that stay at their start."""
WITHOUT_PRIOR = "both learned, without a prior (dualembedding)"
DIFFERENCES = (
    ("presence learned", "zero-shot"),
    ("absence learned", "zero-shot"),
    ("both learned (anchored)", "presence learned"),
    ("both learned (anchored)", WITHOUT_PRIOR),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("--text", default="text")
    parser.add_argument("--observed", default="0.05,0.2,1")
    parser.add_argument("--halves", type=int, default=5)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with np.load(asked.path) as file:
        labels, features, text = (file[key] for key in ("labels", "features", asked.text))
        names = [str(name) for name in file["class_names"]]
    kept = np.flatnonzero((labels == 1).sum(axis=0) >= ENOUGH)
    names, labels, text = [names[column] for column in kept], labels[:, kept].astype(np.int8), text[kept]
    shares = [float(share) for share in asked.observed.split(",")]
    print(f"{len(features)} photos, {len(names)} classes with {ENOUGH} positives or more, {asked.halves} random halves")
    backbone = PrecomputedFeatures(features.shape[1], dict(zip(names, text.astype(np.float32), strict=True)))
    found = {
        share: [_half(features, labels, names, backbone, share, seed) for seed in range(asked.halves)]
        for share in shares
    }
    print(f"{'mAP, %':72}" + "".join(f"{100 * share:>22g} %" for share in shares))
    for row in (*FIXED, WITHOUT_PRIOR):
        _line(row, [[one[row] for one in found[share]] for share in shares], "{:.1f}".format)
    for more, less in DIFFERENCES:
        _line(f"{more} − {less}", [[one[more] - one[less] for one in found[share]] for share in shares], signed)


def _half(
    features: NDArray[np.float32],
    labels: Labels,
    names: Sequence[str],
    backbone: PrecomputedFeatures,
    share: float,
    seed: int,
) -> dict[str, float]:
    """Row → mAP of one half, in points."""
    order = np.random.default_rng(seed).permutation(len(features))
    train, test = np.split(order, [len(order) // 2])
    regions = [InMemoryRegions(torch.from_numpy(features[part][:, None]).float()) for part in (train, test)]
    known = hide(labels[train], keep_mask(labels[train].shape, share, seed))
    recipe = load_recipe("default", "anchored")
    trained, record = {}, None
    for row, fixed in reversed(FIXED.items()):  # the strength is that of `anchored`
        recognizer = create_recognizer("anchored", backbone, names, **recipe.start_options())
        for side in fixed:
            getattr(recognizer, side).requires_grad_(False)
        begun = begin_run(recognizer, regions[0], known, recipe, seed=seed, record=record)
        record = begun.record
        if len(fixed) < 2:
            fit_runs([begun.run], regions[0])
        trained[row] = recognizer.fold()
    plain = load_recipe("default", "dualembedding", observed=share)
    recognizer = create_recognizer("dualembedding", backbone, names, seed=seed, **plain.start_options())
    fit_runs([begin_run(recognizer, regions[0], known, plain, seed=seed).run], regions[0])
    trained[WITHOUT_PRIOR] = recognizer.fold()
    scores = mean_aps(list(trained.values()), regions[1], labels[test])
    return dict(zip(trained, (100 * score for score in scores), strict=True))


def _line(name: str, columns: Sequence[Sequence[float]], written: Callable[[float], str]) -> None:
    cells = (f"{written(float(np.mean(own)))} ({written(min(own))} to {written(max(own))})" for own in columns)
    print(f"{name:72}" + "".join(f"{cell:>24}" for cell in cells))


if __name__ == "__main__":
    main()
