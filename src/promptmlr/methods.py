"""The paper's table as data: a method is a pair (presence side, absence side)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from promptmlr.backbone import PRESENCE_TEMPLATE, Backbone, Templates, ensemble_features
from promptmlr.errors import UserError, nearest
from promptmlr.names import checked_class_names
from promptmlr.pooling import POOLINGS
from promptmlr.recognizer import Recognizer, Weighting
from promptmlr.sides import SIDES, Beginning, Side
from promptmlr.sides.beginning import LinearStart, Offset

__all__ = [
    "METHODS",
    "METHOD_TABLE",
    "PRESENCE_TEMPLATE",
    "Kind",
    "Method",
    "Start",
    "background_features",
    "create_recognizer",
    "methods_on",
    "reads_texts",
    "takes_start",
]

Kind = str  # a name of `SIDES`
Start = Literal["random", "agnostic", "text", "mean"]

CLASS_FREE_TEMPLATE = "a photo."
CLASS_FREE_WEIGHT = 4.0  # in classes


@dataclass(frozen=True)
class Method:
    """A pair of sides: a row of the table, or any other pair.

    Attributes:
        presence: kind of the side that says "there is one".
        absence: kind of the side that says "there is none".
        summary: what it is, in a few words.
        weighting: whose map weights the regions.
        trained: whether anything is learned.
        presence_start: where an embedding starts on the presence side; None leaves it to the recipe.
        absence_start: the same on the absence side.
    """

    presence: Kind
    absence: Kind
    summary: str
    weighting: Weighting = "presence"
    trained: bool = True
    presence_start: Start | None = None
    absence_start: Start | None = None


METHOD_TABLE: dict[str, Method] = {
    "anchored": Method(
        "embedding",
        "embedding",
        "text features as a prior that labels move, as far as there are labels (MAP)",
        presence_start="text",
        absence_start="mean",
    ),
    "baseline": Method("linear", "linear", "vision only: two linear layers on the regions", weighting="own"),
    "dualcoop": Method("prompt", "prompt", "a learned prompt for presence and one for absence"),
    "dualembedding": Method("embedding", "embedding", "both sides learned directly; the cell the paper leaves out"),
    "negativecoop": Method("embedding", "prompt", "learned embedding for presence, learned prompt for absence"),
    "positivecoop": Method("prompt", "embedding", "learned prompt for presence, learned embedding for absence"),
    "zeroshot": Method("embedding", "embedding", "text features as they are; nothing is trained", trained=False),
}

METHODS: tuple[str, ...] = tuple(sorted(METHOD_TABLE))


def methods_on(backbone: Backbone) -> tuple[str, ...]:
    """The methods that a backbone supports: prompts need a text tower, other starts from text need class features."""
    there = {kind for kind, side in SIDES.items() if side.needs is None or getattr(backbone, side.needs)}
    return tuple(name for name in METHODS if {METHOD_TABLE[name].presence, METHOD_TABLE[name].absence} <= there)


def reads_texts(method: str | Method, start: Start) -> bool:
    """Whether both sides of a method start from text features of classes, so that templates and texts apply."""
    row = method if isinstance(method, Method) else METHOD_TABLE[method]
    if row.presence != "embedding" or row.absence != "embedding":
        return False
    return not row.trained or "text" in (row.presence_start or start, row.absence_start or start)


def takes_start(method: str | Method) -> bool:
    """Whether a method has an embedding whose start the recipe decides, not the method."""
    row = method if isinstance(method, Method) else METHOD_TABLE[method]
    sides = ((row.presence, row.presence_start), (row.absence, row.absence_start))
    return row.trained and any(kind == "embedding" and start is None for kind, start in sides)


def _called(method: str | Method, start: Start) -> str:
    row = method if isinstance(method, Method) else METHOD_TABLE[method]
    name = "this pair of sides" if isinstance(method, Method) else method
    return name if {row.presence, row.absence} != {"embedding"} else f"{name} with start {start!r}"


def create_recognizer(
    method: str | Method,
    backbone: Backbone,
    class_names: Sequence[str],
    *,
    context_length: int = 16,
    context_words: str | None = None,
    class_specific: bool = True,
    offset: Offset = "none",
    start: Start = "agnostic",
    linear_start: LinearStart = "random",
    absence_template: str = CLASS_FREE_TEMPLATE,
    templates: Templates = "one",
    texts: Mapping[str, Sequence[str]] | None = None,
    pooling: str = "softmax",
    seed: int = 0,
) -> Recognizer:
    """A recognizer of `method` over `class_names`, on the backbone's device, ready to train.

    Args:
        method: a name of `METHODS`, or a pair of sides.
        backbone: the frozen CLIP; its text tower is used by prompts and by text starts.
        class_names: C names; underscores are read as spaces.
        context_length: M, context tokens of a prompt (16 in the paper).
        context_words: words that contexts start from instead of random values; M is then their number of tokens.
        class_specific: contexts per class (released `--csc`) instead of one for all classes.
        offset: "none" (paper), "zero" or "random": the (C, D) term that the released code adds to a prompt's text
            feature. Ignored by other sides.
        start: of embedding sides. "random" as released; "agnostic" from the class-free text "a photo."; "text" from
            "a photo of a {}.", which beside a prompt that starts from these words is a margin of zero; "mean" from the
            mean of all class texts (`background_features`). Ignored by other sides, and where the method itself says
            where a side starts.
        linear_start: of linear sides. "random" as torch and as released; "zero" at a margin of zero.
        absence_template: of `zeroshot` alone. A negated one ("not a photo of a {}.") is possible, and poor: CLIP
            puts it beside the presence text.
        templates: what "a photo of a {}." stands for: "one" is that sentence, "simple" and "imagenet" the mean feature
            of several (`ensemble_features`). For methods that start from class texts.
        texts: class → synonyms or descriptions, which stand instead of the templates.
        pooling: how a map weights regions, a name of `POOLINGS`.
        seed: of every random start.

    Raises:
        UserError: unknown method, kind of side, start, offset or pooling; a length, template or class names that
            cannot be used; templates or texts for a method that does not start from class texts, or texts of a class
            that is not named.
    """
    if not isinstance(method, Method) and method not in METHOD_TABLE:
        raise UserError(f"unknown method {method!r}; {nearest(method, METHODS)}")
    row = method if isinstance(method, Method) else METHOD_TABLE[method]
    for what, chosen, known in (
        ("kind of side", row.presence, SIDES),
        ("kind of side", row.absence, SIDES),
        ("start", start, get_args(Start)),
        ("offset", offset, get_args(Offset)),
        ("linear_start", linear_start, get_args(LinearStart)),
        ("templates", templates, get_args(Templates)),
        ("pooling", pooling, POOLINGS),
    ):
        if chosen not in known:
            raise UserError(f"unknown {what} {chosen!r}; {nearest(chosen, known)}")
    if set("{}") & set(absence_template.replace("{}", "", 1)):
        raise UserError(f"absence_template {absence_template!r}: braces stand for the class alone, as one {{}} or none")
    if (templates != "one" or texts) and not reads_texts(method, start):
        raise UserError(
            f"templates and texts make the text features that a method starts from, and {_called(method, start)} does "
            "not start from these alone: leave them out, or take anchored or zeroshot"
        )
    starts = {"presence": row.presence_start or start, "absence": row.absence_start or start}
    names = checked_class_names(class_names)

    def features(name: str) -> Tensor | None:
        """(C, D) the start of an embedding side; None for a random start."""
        if starts[name] == "random" and row.trained:
            return None
        if (name == "presence") if not row.trained else (starts[name] == "text"):
            return ensemble_features(backbone, names, templates, texts)
        if starts[name] == "mean" and row.trained:
            return background_features(backbone, names, templates, texts).expand(len(names), -1)
        return backbone.class_features(names, CLASS_FREE_TEMPLATE if row.trained else absence_template)

    def side(kind: Kind, name: str) -> Side:
        at = Beginning(
            name=name,
            class_names=names,
            feature_width=backbone.feature_width,
            seed=seed,
            text=lambda: backbone.text,
            features=lambda: features(name),
            context_length=context_length,
            context_words=context_words,
            class_specific=class_specific,
            offset=offset,
            linear_start=linear_start,
        )
        return SIDES[kind].begin(at)

    sides = side(row.presence, "presence"), side(row.absence, "absence")
    recognizer = Recognizer(*sides, names, row.weighting, pooling=pooling).to(backbone.device)
    if starts["presence"] == "text" or not row.trained:
        recognizer.pair_score = backbone.pair_score
    return recognizer


def background_features(
    backbone: Backbone,
    class_names: Sequence[str],
    templates: Templates = "one",
    texts: Mapping[str, Sequence[str]] | None = None,
) -> Tensor:
    """(1, D) the background that a class is compared with: the mean direction of all class texts.

    The text "a photo." has the weight of four classes, so that with few classes none is compared mainly with itself.
    """
    of_classes = ensemble_features(backbone, class_names, templates, texts)
    class_free = backbone.class_features(class_names[:1], CLASS_FREE_TEMPLATE)
    directions = torch.nn.functional.normalize(torch.cat([of_classes, class_free]).float(), dim=-1)
    weights = torch.ones(len(directions), 1, device=directions.device)
    weights[-1] = CLASS_FREE_WEIGHT
    return (weights * directions).sum(dim=0, keepdim=True)
