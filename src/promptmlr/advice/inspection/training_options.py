"""From what is missing to the `promptmlr train` that follows: one command line, and why it has these options."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from promptmlr.advice.inspection.missingness import Missingness
from promptmlr.advice.inspection.split_counts import SplitCounts
from promptmlr.prior.positive_only import POSITIVE_ONLY_COST

__all__ = ["TrainingCommand", "training_command"]


@dataclass(frozen=True)
class TrainingCommand:
    """What to do next.

    Attributes:
        command: a line for the shell.
        reasons: why, a line each.
    """

    command: str
    reasons: Sequence[str]


def training_command(found: Missingness, data: str, reading: Sequence[str]) -> TrainingCommand:
    """The training that follows from what is missing.

    Args:
        found: what is missing.
        data: a data set, as it was named.
        reading: words of the command line about how it is read, and by which CLIP.
    """
    part, share = found.trained, _share(found)
    options, reasons = _unknown(part)
    if share is not None:
        options += ["--share", share[0]]
        reasons.append(share[1])
    elif part.kind in ("nothing known", "single positive", "positive-only"):
        reasons.append("add --share if you know how often classes are present: these labels cannot tell")
    name = re.sub(r"[^\w.-]+", "-", Path(data).resolve().stem).strip("-.") or "run"
    words = ["promptmlr", "train", data, "--out", f"runs/{name}", *reading, *options]
    return TrainingCommand(shlex.join(words), reasons)


def _unknown(part: SplitCounts) -> tuple[list[str], list[str]]:
    """What unknown labels should cost."""
    one_sided = int(part.positive_only.sum())
    if part.kind == "nothing known":
        return [], ["nothing is known, so this only calibrates CLIP's zero-shot"]
    if part.kind == "complete":
        return [], ["nothing is unknown; --observed 0.1 would hide nine of ten labels, to see what fewer do"]
    if part.kind == "absent-only":
        return ["--unknown", "ignore"], [
            "ignore: unknown labels cost nothing; only CLIP's zero-shot knows what is present; label that first"
        ]
    if part.kind == "one label each":
        return [], [
            "if nobody looked for the other classes, make them unknown first: --unlisted unknown with lists of names, "
            "blanks instead of 0 in a table"
        ]
    if part.kind in ("single positive", "positive-only"):
        return ["--unknown", POSITIVE_ONLY_COST], [
            f"{POSITIVE_ONLY_COST}: unknown labels count as absent, but not where the recognizer is sure of presence"
        ]
    if one_sided:
        return ["--unknown", "auto"], [
            f"auto: {POSITIVE_ONLY_COST} in the {one_sided:,} positive-only classes, no cost in the others"
        ]
    return ["--unknown", "ignore"], ["ignore: unknown labels cost nothing, because there are known ones of both kinds"]


def _share(found: Missingness) -> tuple[str, str] | None:
    """How often classes are present, where these labels are biased or silent about it and another split is complete."""
    biased = any(one.on == "label itself" and one.found for one in found.dependences)
    whole = next((part for part in found.parts if part.split != found.trained.split and part.share == 1), None)
    if whole is None or not biased or not 0 < whole.share_present < 1:
        return None
    return f"{whole.share_present:.2g}", (
        f"share: how often classes are present in {whole.split}, which is complete; leave it out if yours "
        "will be other images"
    )
