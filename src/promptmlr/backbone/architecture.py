"""Which architecture a checkpoint looks like, by the shapes of its tensors."""

from collections.abc import Mapping

from torch import Tensor

from promptmlr.backbone.catalogue import catalogue
from promptmlr.backbone.layouts import without_prefixes

__all__ = ["looks_like", "name_like"]

IMAGE = ("visual.", "vision_model.", "visual_projection.")
"""How names of an image tower begin: open_clip's, and Hugging Face's."""

NEITHER_TOWER = ("logit_scale", "logit_bias", "text_decoder.")
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of batch norms; no parameters


def looks_like(state: Mapping[str, Tensor]) -> str:
    """In words, with the name of open_clip's that has these sizes; never raises."""
    name = name_like(state)
    return _image_tower(without_prefixes(state)) + ("" if name is None else f", as {name}")


def name_like(state: Mapping[str, Tensor]) -> str | None:
    """The shortest of open_clip's pretrained names whose towers have as many parameters; None where none has."""
    sizes = {
        key: value.numel()
        for key, value in without_prefixes(state).items()
        if not key.endswith(STATISTICS) and not key.startswith(NEITHER_TOWER)
    }
    image = sum(size for key, size in sizes.items() if key.startswith(IMAGE))
    is_counted = any("token_embedding." in key for key in sizes)  # text models of Hugging Face's are not
    text = sum(sizes.values()) - image if is_counted else None
    fitting = [entry.name for entry in catalogue() if (entry.image_parameters, entry.text_parameters) == (image, text)]
    return min(fitting, key=len, default=None)


def _image_tower(state: Mapping[str, Tensor]) -> str:
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    for start, patches, blocks in (
        ("visual.", "visual.conv1.weight", "visual.transformer.resblocks."),
        ("visual.trunk.", "visual.trunk.patch_embed.proj.weight", "visual.trunk.blocks."),
        ("vision_model.", "vision_model.embeddings.patch_embedding.weight", "vision_model.encoder.layers."),
    ):
        depth = len({key[len(blocks) :].split(".")[0] for key in shapes if key.startswith(blocks)})
        if depth and len(shapes.get(patches, ())) == 4:
            width, side = shapes[patches][0], shapes[patches][-1]
            kind = {"visual.": "open_clip's", "visual.trunk.": "timm's", "vision_model.": "Hugging Face's"}[start]
            return f"{kind} transformer of {depth} blocks, {width} wide, with patches of {side} pixels"
    if any(key.startswith("visual.layer4.") for key in shapes):
        return "one of CLIP's ResNets"
    if any(key.startswith("visual.trunk.") for key in shapes):
        return "a network of timm's of another kind"
    if any(key.startswith("visual.") for key in shapes):
        return "an image tower of another kind"
    return f"no CLIP: its names begin with {', '.join(sorted({key.split('.')[0] for key in shapes})[:3]) or 'nothing'}"
