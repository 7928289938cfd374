"""The text sides: pretrained, saved as checkpoints, and probed for how they encode absence."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pyarrow.csv import read_csv
from safetensors.torch import save
from torch import Tensor

from promptmlr.backbone import load_backbone
from promptmlr.files import write_bytes
from promptmlr.labels import Labels
from promptmlr.maps.sentences import TEMPLATES
from promptmlr.methods import create_recognizer
from promptmlr.paper.absence.plan import Plan, Tower
from promptmlr.paper.jobs import Deadline, completed_tasks
from promptmlr.paper.text_probe.scores import presence_scores, prompt_cosines
from promptmlr.pipeline import score_on
from promptmlr.regions import RegionSource
from promptmlr.report.tables import write_csv
from promptmlr.reporting import Reporter
from promptmlr.scenes.text_side import EncodedScenes, TextSideConfig, pretrain_text_side

__all__ = ["Probe", "checkpoint_path", "pretrain_towers", "probe_towers"]


@dataclass(frozen=True)
class Probe:
    """How one text side encodes absence: a line of `probes.csv`.

    Cosines are means over classes, AUCs means over classes of the largest local cosine as a score for presence.
    """

    rate: float
    seed: int
    positive_negative: float  # cosine of "photo of a X" and "Not a photo of a X"
    positive_positive: float  # of "photo of a X" and "picture of a X"
    between_classes: float  # of "photo of a X" and "photo of a Y"
    auc_photo: float  # of "a photo of a X"
    auc_no: float  # of "no X": below 1/2 it would speak of absence
    auc_not: float  # of "not a photo of a X"
    zero_shot_map: float


def checkpoint_path(out: Path, tower: Tower) -> Path:
    """The checkpoint file of a text side, which also holds the image tower that all of them share."""
    return out / "towers" / f"{tower.name}.safetensors"


def pretrain_towers(
    seen: EncodedScenes,
    plan: Plan,
    towers: Sequence[Tower],
    out: Path,
    jobs: int,
    deadline: Deadline,
    reporter: Reporter,
) -> None:
    """Pretrain text sides and write their checkpoints.

    Args:
        seen: scenes encoded by the image tower.
        plan: holds steps and batch size.
        towers: the towers to pretrain.
        out: the folder of the experiment.
        jobs: processes.
        deadline: after which no more are begun.
        reporter: receives progress.
    """
    tasks = [(tower, TextSideConfig(tower.rate, tower.seed, plan.steps)) for tower in towers]
    pretrained = completed_tasks(_pretrain, seen, tasks, jobs, deadline, label="text sides", reporter=reporter)
    for (tower, _), state in pretrained:
        write_bytes(checkpoint_path(out, tower), save({key: value.contiguous() for key, value in state.items()}))


def _pretrain(seen: EncodedScenes, task: tuple[Tower, TextSideConfig]) -> dict[str, Tensor]:
    return pretrain_text_side(seen, task[1])


def probe_towers(
    plan: Plan, out: Path, test: RegionSource, labels: Labels, class_names: Sequence[str], reporter: Reporter
) -> list[Probe]:
    """Probe all text sides; those in `probes.csv` are done already."""
    path = out / "probes.csv"
    earlier = [Probe(**row) for row in read_csv(path).to_pylist()] if path.exists() else []
    found = {Tower(probe.rate, probe.seed): probe for probe in earlier}
    missing = [tower for tower in plan.towers if tower not in found]
    images = out, test, labels, class_names
    for tower, probe in completed_tasks(_probe, images, missing, 1, label="probing text sides", reporter=reporter):
        found[tower] = probe
        rows = [asdict(found[key]) for key in sorted(found)]
        write_csv(path, list(rows[0]), rows)
    return [found[tower] for tower in plan.towers]


_Images = tuple[Path, RegionSource, Labels, Sequence[str]]  # folder of text sides, regions, labels, classes


def _probe(images: _Images, tower: Tower) -> Probe:
    out, test, labels, class_names = images
    backbone = load_backbone(checkpoint_path(out, tower))
    cosines = prompt_cosines(backbone, class_names, TEMPLATES["single"])
    aucs = {
        score.sentence: score.mean
        for score in presence_scores(backbone, test, labels, class_names, resamples=1)
        if score.scope == "local"
    }
    zero_shot = create_recognizer("zeroshot", backbone, class_names)
    return Probe(
        tower.rate,
        tower.seed,
        float(cosines.positive_negative.mean()),
        float(cosines.positive_positive.mean()),
        float(cosines.between_classes.mean()),
        aucs["a photo of a {}"],
        aucs["no {}"],
        aucs["not a photo of a {}"],
        score_on(test, labels)(zero_shot),
    )
