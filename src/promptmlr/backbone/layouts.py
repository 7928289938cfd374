"""Names of tensors: those of other libraries and of training scripts, in open_clip's own.

Tensors are renamed, cut and joined, never changed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["as_named_in", "in_plain_layout", "misfits", "without_prefixes"]

State = Mapping[str, Tensor]

WRAPPERS = ("module", "model", "_orig_mod")
"""What is put before all names by data parallelism, Lightning as most people use it, and torch.compile."""

TOWERS = ("visual", "text", "transformer", "vision_model", "text_model")
"""How the names of a tower begin."""

NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size", "attn_mask", "position_ids")
"""Entries that some libraries save although they are no weights, by the end of their names."""

TEXT = ("text_projection", "positional_embedding", "token_embedding.", "transformer.", "ln_final.", "cls_emb")
"""How the names of a text tower begin where it is not set apart as "text."."""


def without_prefixes(state: State) -> dict[str, Tensor]:
    """Without what stands before all names, and without entries that are no weights."""
    found = dict(state)
    while _is_wrapped(found):
        found = {key.partition(".")[2]: value for key, value in found.items()}
    return {key: value for key, value in found.items() if key.split(".")[-1] not in NOT_WEIGHTS}


def _is_wrapped(state: State) -> bool:
    """Whether all names begin alike, by a wrapper's name or any other before a tower's."""
    firsts = {key.partition(".")[0] for key in state}
    if len(firsts) != 1 or firsts & {*state, *TOWERS}:
        return False
    return bool(firsts & set(WRAPPERS)) or any(f".{tower}." in key for tower in TOWERS for key in state)


def in_plain_layout(state: State) -> dict[str, Tensor]:
    """In OpenAI's layout, where it is another library's or sets the text tower apart; anything else as it is."""
    found = _from_clip_model(state) if _is_hugging_face(state) and "visual_projection.weight" in state else dict(state)
    if "token_embedding.weight" not in found and "text.token_embedding.weight" in found:
        return {key.removeprefix("text."): value for key, value in found.items()}
    return found


def as_named_in(model: nn.Module, state: State) -> dict[str, Tensor]:
    """The same tensors under the names of a model of open_clip's, as far as these are known; the rest as it is."""
    wanted = model.state_dict()
    found = dict(state)
    if _is_hugging_face(state):
        found = _from_siglip_model(state) if "vision_model.head.probe" in state else _from_clip_model(state)
    apart, is_apart = "text.token_embedding.weight" in wanted, "text.token_embedding.weight" in found
    if is_apart and not apart:
        found = {key.removeprefix("text."): value for key, value in found.items()}
    elif apart and not is_apart:
        found = {f"text.{key}" if key.startswith(TEXT) else key: value for key, value in found.items()}
    for key in ("logit_scale", "logit_bias"):  # one number, whatever its shape
        if key in found and key in wanted and found[key].numel() == 1:
            found[key] = found[key].reshape(wanted[key].shape)
    return found


def misfits(model: nn.Module, state: State) -> str | None:
    """What keeps tensors from being exactly those of a model, in words; None where nothing does."""
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    counters = {key for key in wanted if key.endswith("num_batches_tracked")}  # of batch norms; old files lack them
    missing = sorted(wanted.keys() - found.keys() - counters)
    unexpected = sorted(found.keys() - wanted.keys())
    other = [
        f"{key} {found[key]} for {wanted[key]}"
        for key in sorted(wanted.keys() & found.keys())
        if wanted[key] != found[key]
    ]
    parts = [("missing", missing), ("unexpected", unexpected), ("of another shape", other)]
    said = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})" for what, keys in parts if keys
    ]
    return "; ".join(said) or None


def _is_hugging_face(state: State) -> bool:
    return any(key.startswith("vision_model.") for key in state) and any(key.startswith("text_model.") for key in state)


@dataclass(frozen=True)
class _Blocks:
    """How a block's tensors are named: Hugging Face's end of a name → open_clip's or timm's."""

    joined: str
    ends: Mapping[str, str]


_OPEN_CLIP = _Blocks(
    "attn.in_proj_",
    {
        "self_attn.out_proj": "attn.out_proj",
        "layer_norm1": "ln_1",
        "layer_norm2": "ln_2",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
    },
)
_TIMM = _Blocks(
    "attn.qkv.",
    {
        "self_attn.out_proj": "attn.proj",
        "layer_norm1": "norm1",
        "layer_norm2": "norm2",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
    },
)


class _Renaming:
    """Takes tensors out of one layout into another; what nobody took keeps its name, so that it is seen."""

    def __init__(self, state: State) -> None:
        self.left = dict(state)
        self.found: dict[str, Tensor] = {}

    def move(self, source: str, target: str, change: Callable[[Tensor], Tensor] = lambda value: value) -> None:
        """One tensor, where it is there."""
        if source in self.left:
            self.found[target] = change(self.left.pop(source))

    def move_both(self, source: str, target: str) -> None:
        """Weight and bias."""
        for part in ("weight", "bias"):
            self.move(f"{source}.{part}", f"{target}.{part}")

    def join(self, sources: list[str], target: str) -> None:
        """Several tensors, one below the other."""
        if all(source in self.left for source in sources):
            self.found[target] = torch.cat([self.left.pop(source) for source in sources])

    def blocks(self, source: str, target: str, names: _Blocks) -> None:
        """All blocks of a transformer."""
        depth = 0
        while f"{source}{depth}.layer_norm1.weight" in self.left:
            before, after = f"{source}{depth}.", f"{target}{depth}."
            for part in ("weight", "bias"):
                self.join([f"{before}self_attn.{name}_proj.{part}" for name in "qkv"], f"{after}{names.joined}{part}")
            for end, own in names.ends.items():
                self.move_both(before + end, after + own)
            depth += 1

    def scores(self) -> None:
        """Logit scale and bias."""
        for key in ("logit_scale", "logit_bias"):
            self.move(key, key)

    def whole(self) -> dict[str, Tensor]:
        """Everything, renamed or not."""
        return self.found | self.left


def _from_clip_model(state: State) -> dict[str, Tensor]:
    """Of transformers' `CLIPModel`, in OpenAI's layout."""
    names = _Renaming(state)
    names.move("vision_model.embeddings.class_embedding", "visual.class_embedding")
    names.move("vision_model.embeddings.patch_embedding.weight", "visual.conv1.weight")
    names.move("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding")
    names.move_both("vision_model.pre_layrnorm", "visual.ln_pre")
    names.move_both("vision_model.post_layernorm", "visual.ln_post")
    names.move("visual_projection.weight", "visual.proj", _transposed)
    names.blocks("vision_model.encoder.layers.", "visual.transformer.resblocks.", _OPEN_CLIP)
    names.move("text_model.embeddings.token_embedding.weight", "token_embedding.weight")
    names.move("text_model.embeddings.position_embedding.weight", "positional_embedding")
    names.move_both("text_model.final_layer_norm", "ln_final")
    names.move("text_projection.weight", "text_projection", _transposed)
    names.blocks("text_model.encoder.layers.", "transformer.resblocks.", _OPEN_CLIP)
    names.scores()
    return names.whole()


def _from_siglip_model(state: State) -> dict[str, Tensor]:
    """Of transformers' `SiglipModel`, as open_clip names it around timm's image tower."""
    names, trunk, head = _Renaming(state), "visual.trunk.", "vision_model.head."
    names.move_both("vision_model.embeddings.patch_embedding", f"{trunk}patch_embed.proj")
    names.move("vision_model.embeddings.position_embedding.weight", f"{trunk}pos_embed", lambda value: value[None])
    names.move_both("vision_model.post_layernorm", f"{trunk}norm")
    names.blocks("vision_model.encoder.layers.", f"{trunk}blocks.", _TIMM)
    names.move(f"{head}probe", f"{trunk}attn_pool.latent")
    for part in ("weight", "bias"):
        joined = names.left.pop(f"{head}attention.in_proj_{part}", None)
        if joined is not None:
            query = len(joined) // 3
            names.found[f"{trunk}attn_pool.q.{part}"] = joined[:query]
            names.found[f"{trunk}attn_pool.kv.{part}"] = joined[query:]
    names.move_both(f"{head}attention.out_proj", f"{trunk}attn_pool.proj")
    names.move_both(f"{head}layernorm", f"{trunk}attn_pool.norm")
    for layer in ("fc1", "fc2"):
        names.move_both(f"{head}mlp.{layer}", f"{trunk}attn_pool.mlp.{layer}")
    names.move("text_model.embeddings.token_embedding.weight", "text.token_embedding.weight")
    names.move("text_model.embeddings.position_embedding.weight", "text.positional_embedding")
    names.move_both("text_model.final_layer_norm", "text.ln_final")
    names.move_both("text_model.head", "text.text_projection")
    names.blocks("text_model.encoder.layers.", "text.transformer.resblocks.", _OPEN_CLIP)
    names.scores()
    return names.whole()


def _transposed(value: Tensor) -> Tensor:
    return value.T.contiguous()
