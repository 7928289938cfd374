"""Do relations between classes gain anything over `anchored`, which treats classes as independent?

    python bench/relations.py --cells choice.csv                                                           # choose
    python bench/relations.py --worlds scenes:crowded:6,... --weights "" --cells test.csv --tested KIND    # test

Two graphs of classes, (C, C) with a zero diagonal: `text` is the cosine of class texts from which their mean is taken;
`pairs` is the log of how much more often two classes are present together than if they were independent, from images
in which both labels are known, shrunk towards independence by PSEUDO images. Each is tried in two places, as SCPNet
(Ding and others, 2023) and HSPNet (2023) argue:

    prior-text, prior-pairs   the prior's mean: a class text moves by a weight towards those of its neighbours
    odds-text, odds-pairs     the logits: z_c + k · sum_d G_cd (p_d - its mean), with k fitted on the known labels

and a relation without a graph:

    ridge                     z_c + sum_d W_cd (p_d - its mean): a logistic regression of the known labels with z as its
                              offset; the penalty of W, infinity included, is chosen by cross-validation over images
    ridge-odds                the same with z_d in place of p_d

z and p are calibrated log odds and probabilities of `anchored`, out of fold where they are fitted, of unknown labels
the mean over folds; nothing but known labels is fitted to. The weights of the prior are tried on the choosing world.

The rule, written before any test world was run: the kind that is best on the choosing world (`scenes`, mean over
fractions) is tested on others. It becomes an option only if its mean gain over test worlds whose classes depend on each
other (all but strangers) is more than 0.5 points of mAP with a 95 % interval above 0, and it loses more than 0.3
points on no world. One value per world and seed, the mean over fractions, enters the interval. Real features, where
they lie on this machine, are named with --worlds FILE.npz, and count as a world whose classes depend on each other.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
import trial
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from promptmlr.crossvalidation import Subject, calibrated, folds_of, out_of_fold
from promptmlr.labels import PRESENT, UNKNOWN, Labels, hide, keep_mask
from promptmlr.methods import create_recognizer
from promptmlr.prediction import predict_margins
from promptmlr.prior.fitting import begin_run
from promptmlr.prior_record import PriorRecord
from promptmlr.recipes import load_recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import InMemoryRegions
from promptmlr.report.tables import markdown_table
from promptmlr.training import fit_runs

WEIGHTS = (0.05, 0.2)  # of neighbours in the prior's mean
PSEUDO = 10.0
PENALTIES = (np.inf, 1_000.0, 300.0, 100.0, 30.0, 10.0)
STEPS = 5
FOLDS = 5
LARGEST = 5.0  # of k


def text_graph(vectors: np.ndarray) -> np.ndarray:
    """(C, D) class texts → (C, C)."""
    centred = vectors - vectors.mean(axis=0)
    centred = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    return _off_diagonal(centred @ centred.T)


def pairs_graph(labels: Labels) -> np.ndarray:
    """(N, C) labels with unknown ones → (C, C) log ratios, symmetric; 0 of classes never known together."""
    present, known = (labels == PRESENT).astype(float), (labels != UNKNOWN).astype(float)
    share = (present.sum(axis=0) + 1) / (known.sum(axis=0) + 2)
    alone = np.outer(share, share)
    together, seen = present.T @ present, known.T @ known
    return _off_diagonal(np.log((together + PSEUDO * alone) / (seen * alone + PSEUDO * alone)))


def _off_diagonal(graph: np.ndarray) -> np.ndarray:
    return graph - np.diag(np.diag(graph))


def neighbours(graph: np.ndarray) -> np.ndarray:
    """(C, C) rows that sum to 1 over the positive entries, or to 0 without any."""
    positive = np.maximum(graph, 0)
    return positive / np.maximum(positive.sum(axis=1, keepdims=True), 1e-9)


def cross_entropy(odds: np.ndarray, labels: Labels) -> float:
    """Sum over known labels, in nats."""
    known = labels != UNKNOWN
    return float(np.logaddexp(0, np.where(labels == PRESENT, -odds, odds))[known].sum())


def graph_weight(odds: np.ndarray, added: np.ndarray, labels: Labels) -> float:
    """The k in [0, LARGEST] at which odds + k · added, (N, C) each, have the smallest loss."""
    found = minimize_scalar(
        lambda k: cross_entropy(odds + k * added, labels),
        bounds=(0, LARGEST),
        method="bounded",
        options={"xatol": 0.01},
    )
    return float(found.x) if found.fun < cross_entropy(odds, labels) else 0.0


def ridge(odds: np.ndarray, inputs: np.ndarray, labels: Labels, penalty: float) -> np.ndarray:
    """(C, C) W with a zero diagonal: the logistic regression of each class's known labels on the others' inputs."""
    classes = odds.shape[1]
    weights = np.zeros((classes, classes))
    if np.isinf(penalty):
        return weights
    for one in range(classes):
        rows, others = labels[:, one] != UNKNOWN, np.arange(classes) != one
        x, y, offset = inputs[np.ix_(rows, others)], labels[rows, one] == PRESENT, odds[rows, one]
        found = np.zeros(classes - 1)
        for _ in range(STEPS):  # Newton's steps
            p = expit(offset + x @ found)
            slope = x.T @ (p - y) + penalty * found
            curve = (x * (p * (1 - p))[:, None]).T @ x + penalty * np.eye(classes - 1)
            found = found - np.linalg.solve(curve, slope)
        weights[one, others] = found
    return weights


def chosen_ridge(odds: np.ndarray, inputs: np.ndarray, labels: Labels, seed: int) -> tuple[np.ndarray, float]:
    """The regression at the penalty with the smallest loss out of fold, folds of images."""
    fold = np.random.default_rng(seed).permutation(len(labels)) % FOLDS

    def loss(penalty: float) -> float:
        parts = 0.0
        for number in range(FOLDS):
            fitted, held = fold != number, fold == number
            weights = ridge(odds[fitted], inputs[fitted], labels[fitted], penalty)
            parts += cross_entropy(odds[held] + inputs[held] @ weights.T, labels[held])
        return parts

    penalty = min(PENALTIES, key=loss)
    return ridge(odds, inputs, labels, penalty), penalty


def trained(
    world: trial.World, source: InMemoryRegions, labels: Labels, seed: int, moved: np.ndarray | None = None
) -> tuple[Recognizer, PriorRecord]:
    """`anchored` trained on the labels; `moved` is (C, C) how the prior's mean mixes class texts, None as it is."""
    recipe = load_recipe("default", "anchored")
    recognizer = create_recognizer("anchored", world.backbone, world.class_names, seed=seed, **recipe.start_options())
    if moved is not None:
        with torch.no_grad():
            texts = recognizer.presence.embedding
            mixed = torch.from_numpy(moved).float() @ texts
            texts.copy_(mixed / mixed.norm(dim=1, keepdim=True) * texts.norm(dim=1, keepdim=True))
    begun = begin_run(recognizer, source, labels, recipe, seed=seed)
    fit_runs([begun.run], source)
    return recognizer.fold(), begun.record


def split_scores(
    world: trial.World, split: int, share: str, seed: int, mixes: Sequence[float] = WEIGHTS
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Kind → (N', C) log odds of the split's test images, and what was fitted."""
    train, test = world.splits[split]
    source, tested = world.source(train), world.source(test)
    labels = hide(world.labels[train], keep_mask(world.labels[train].shape, float(share), seed))
    plain, record = trained(world, source, labels, seed)
    odds = predict_margins(plain, tested)[1]
    recipe = load_recipe("default", "anchored")
    texts = create_recognizer("anchored", world.backbone, world.class_names, **recipe.start_options())
    graphs = {"text": text_graph(texts.presence.embedding.detach().double().numpy()), "pairs": pairs_graph(labels)}
    subject = Subject(world.backbone, world.class_names, source, labels, seed)
    settled = load_recipe(recipe, "anchored", prior_strength=record.strength)
    margins = out_of_fold(subject, "anchored", settled, fold=folds_of(labels, seed), everywhere=True)
    p = calibrated(margins, labels)
    fitted, middle, inputs = logit(np.clip(p, 1e-6, 1 - 1e-6)), p.mean(axis=0), expit(odds)
    scores, found = {"anchored": odds}, {}
    for name, graph in graphs.items():
        weight = graph_weight(fitted, (p - middle) @ graph.T, labels)
        scores[f"odds-{name}"] = odds + weight * (inputs - middle) @ graph.T
        found[f"odds-{name}"] = weight
        for share_of in mixes:
            moved = (1 - share_of) * np.eye(len(graph)) + share_of * neighbours(graph)
            scores[f"prior-{name} {share_of:g}"] = predict_margins(
                trained(world, source, labels, seed, moved)[0], tested
            )[1]
    weights, found["ridge"] = chosen_ridge(fitted, p - middle, labels, seed)
    scores["ridge"] = odds + (inputs - middle) @ weights.T
    middle = fitted.mean(axis=0)
    weights, found["ridge-odds"] = chosen_ridge(fitted, fitted - middle, labels, seed)
    scores["ridge-odds"] = odds + (odds - middle) @ weights.T
    return scores, found


def cells_of(world: trial.World, share: str, seed: int, mixes: Sequence[float]) -> Iterator[dict[str, object]]:
    """mAP of each kind, over the test images of all splits; each image is ranked among those of its split's model."""
    parts = [split_scores(world, split, share, seed, mixes) for split in range(len(world.splits))]
    truth = np.concatenate([world.labels[test] for _, test in world.splits])
    for kind in parts[0][0]:
        scores = np.concatenate([scores[kind] for scores, _ in parts])
        fitted = [found[kind] for _, found in parts if kind in found]
        score = trial.mean_ap(expit(scores), truth, world.class_names)
        yield {"kind": kind, "mean_ap": f"{score:.4f}", "fitted": f"{np.median(fitted):g}" if fitted else ""}


def gains(rows: list[dict[str, str]], kind: str) -> dict[tuple[str, str, str], float]:
    """(world, fraction, seed) → points over `anchored`."""
    scores = {(row["world"], row["observed"], row["seed"], row["kind"]): float(row["mean_ap"]) for row in rows}
    return {place[:3]: score - scores[*place[:3], "anchored"] for place, score in scores.items() if place[3] == kind}


def by_world(found: dict[tuple[str, str, str], float]) -> dict[str, list[float]]:
    """World → a value per seed, the mean over fractions."""
    parts: dict[tuple[str, str], list[float]] = {}
    for (world, _, seed), value in found.items():
        parts.setdefault((world, seed), []).append(value)
    worlds: dict[str, list[float]] = {}
    for (world, _), values in parts.items():
        worlds.setdefault(world, []).append(float(np.mean(values)))
    return worlds


def verdict(rows: list[dict[str, str]], kind: str) -> str:
    """What the rule says of the kind."""
    worlds = by_world(gains(rows, kind))
    dependent = [value for world, values in worlds.items() if "strangers" not in world for value in values]
    low, _ = trial.interval(dependent)
    worst = min(worlds, key=lambda world: np.mean(worlds[world]))
    passed = np.mean(dependent) > 0.5 and low > 0 and np.mean(worlds[worst]) >= -0.3
    return (
        f"{kind}: {trial.shown(dependent)} points over worlds with dependent classes, least on {worst} "
        f"({trial.shown([np.mean(worlds[worst])])}): {'passes' if passed else 'does not pass'}"
    )


def table(rows: list[dict[str, str]]) -> str:
    """Gains of every kind by world and fraction."""
    shares = sorted({row["observed"] for row in rows}, key=float)
    places = dict.fromkeys(row["world"] for row in rows)
    kinds = [kind for kind in dict.fromkeys(row["kind"] for row in rows) if kind != "anchored"]
    lines = []
    for world in places:
        for share in shares:
            here = [row for row in rows if (row["world"], row["observed"]) == (world, share)]
            base = [float(row["mean_ap"]) for row in here if row["kind"] == "anchored"]
            cells = [trial.shown(list(gains(here, kind).values())) for kind in kinds]
            if base:
                lines.append([world, f"{100 * float(share):g} %", f"{np.mean(base):.2f}", *cells])
    return markdown_table(["world", "labels", "anchored", *kinds], lines, words=1)


def main() -> None:
    asked = trial.parser(__doc__, "scenes", "0.05,0.1,0.5", 3)
    asked.add_argument("--weights", default=",".join(map(str, WEIGHTS)), help="of neighbours in the prior's mean")
    asked.add_argument("--tested", help="the kind that the rule is applied to")
    options = asked.parse_args()
    torch.set_num_threads(1)
    mixes = [float(weight) for weight in options.weights.split(",") if weight]
    rows = trial.measured(options, trial.load_world, partial(cells_of, mixes=mixes))
    print(table(rows))
    kinds = [options.tested] if options.tested else dict.fromkeys(row["kind"] for row in rows)
    for kind in kinds:
        points = [gain for seeds in by_world(gains(rows, kind)).values() for gain in seeds]
        if kind != "anchored":
            print(verdict(rows, kind) if options.tested else f"{kind}: {trial.shown(points)} points")


if __name__ == "__main__":
    main()
