"""Losses for unknown labels compared in one table, under the standard protocols.

    python bench/unknown_costs.py --cells cells.csv

Every cost of unknown labels (`UNKNOWN_COSTS`) with every loss of known ones (`LOSSES`), for `anchored` with its prior
and for `dualembedding` and `positivecoop` without one, at the default recipe's rates. Three protocols hide labels of
the training images: each label known with a probability, each present one with a probability and no absent one, and
one present label per image. The test labels are complete. Scores are mAP, and log loss without calibration afterwards.
Every mask has its seed, the same for all rows; intervals are Student's t over masks.
"""

from collections.abc import Iterator

import numpy as np
import torch
import trial

from promptmlr.evaluation import log_loss
from promptmlr.labels import Observation, hide
from promptmlr.losses import LOSSES
from promptmlr.methods import create_recognizer
from promptmlr.prediction import predict_source
from promptmlr.prior.fitting import begin_run
from promptmlr.recipes import load_recipe
from promptmlr.report.tables import markdown_table
from promptmlr.training import fit_runs
from promptmlr.unknown import UNKNOWN_COSTS

METHODS = ("anchored", "dualembedding", "positivecoop")
PROTOCOLS = "0.1,positive-only:0.5,single-positive"


def cells_of(world: trial.World, protocol: str, seed: int) -> Iterator[dict[str, object]]:
    """A cell for each method, loss and cost."""
    (train, test), observation = world.splits[0], Observation.parse(protocol)
    labels = hide(world.labels[train], observation.keep(world.labels[train], seed))
    source, tested = world.source(train), world.source(test)
    for method in METHODS:
        for loss in LOSSES:
            for cost in UNKNOWN_COSTS:
                recipe = load_recipe(
                    "default", method, observed=observation.share(world.labels[train]), loss=loss, unknown=cost
                )
                start = recipe.start_options()
                recognizer = create_recognizer(method, world.backbone, world.class_names, seed=seed, **start)
                fit_runs([begin_run(recognizer, source, labels, recipe, seed=seed).run], source)
                probabilities = predict_source(recognizer.fold(), tested)[1]
                score = trial.mean_ap(probabilities, world.labels[test], world.class_names)
                nats = log_loss(probabilities, world.labels[test])
                row = {"method": method, "loss": loss, "unknown": cost}
                yield row | {"mean_ap": f"{score:.4f}", "log_loss": f"{nats:.5f}"}


def table(rows: list[dict[str, str]], world: str) -> str:
    """mAP and log loss of every fit, and the best mAP of a method and protocol in bold."""
    protocols = list(dict.fromkeys(row["observed"] for row in rows))
    found: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for row in rows:
        if row["world"] == world:
            place = row["method"], row["loss"], row["unknown"], row["observed"]
            found.setdefault(place, []).append((float(row["mean_ap"]), float(row["log_loss"])))
    best = {
        (method, protocol): max(
            np.mean([score for score, _ in values])
            for place, values in found.items()
            if (place[0], place[3]) == (method, protocol)
        )
        for method, _, _, protocol in found
    }
    lines = []
    for method, loss, cost in dict.fromkeys(place[:3] for place in found):
        line = [method, loss, cost]
        for protocol in protocols:
            scores, nats = zip(*found[method, loss, cost, protocol], strict=True)
            points = trial.plus_minus(scores)
            line.append(f"**{points}**" if np.mean(scores) == best[method, protocol] else points)
            line.append(f"{np.mean(nats):.3f}")
        lines.append(line)
    heading = ["method", "loss", "unknown labels"]
    for protocol in protocols:
        heading += [f"{protocol}: mAP", "log loss"]
    return markdown_table(heading, lines, words=3)


def main() -> None:
    options = trial.parser(__doc__, "scenes:usual:5,scenes:crowded:6", PROTOCOLS, 3).parse_args()
    torch.set_num_threads(1)
    rows = trial.measured(options, trial.load_world, cells_of)
    for world in dict.fromkeys(row["world"] for row in rows):
        print(f"### {world}\n\n{table(rows, world)}\n")


if __name__ == "__main__":
    main()
