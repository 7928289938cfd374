"""Every tower against open_clip's own forward pass, at random weights.

python bench/towers.py --names          all pretrained names, or those that follow; one at a time, largest 8 GiB
python bench/towers.py --table FILE     write what src/promptmlr/backbone/towers.csv holds, from copies without weights
python bench/towers.py --speed          images per second of a tower of each kind, or of names that follow

For each name the image tower's region 0 is compared with `encode_image`, sentences with `encode_text`, and the same
sentences given as embeddings of prompts; differences are shares of the largest number of open_clip's own. Region 0 of
a CLIP ResNet is the paper's (no attention in its pool) and is compared with that. What shares all but its weights is
built once. Models of more than --most parameters keep their widths and lose blocks; text towers and tokenizers that lie
on the Hugging Face Hub are stood in for by small ones of the same kind. docs/towers.md has the results.

Speed is at a tower's own size, in float32, with random weights: open_clip's own forward pass, regions of decoded
pixels, and extraction into a store and prediction from JPEG files (bench/overlap.py), as shares of that; medians of
turns.
"""

import argparse
import csv
import gc
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import open_clip
import torch
from open_clip.constants import OPENAI_DATASET_MEAN as MEAN
from open_clip.constants import OPENAI_DATASET_STD as STD
from open_clip.modified_resnet import ModifiedResNet
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from promptmlr.backbone import ClipBackbone, Preprocessing
from promptmlr.backbone.building import build_image_tower, build_model, build_random_model
from promptmlr.backbone.catalogue import native_size, pretrained_names
from promptmlr.backbone.image import TOWER_KINDS, tower_kind
from promptmlr.backbone.text import text_tower
from promptmlr.data.images import ImageFile

TEXTS = ["a photo of a dog.", "two red chairs and a traffic light at night."]
KEPT_BLOCKS = 2
MOST = 1_300_000_000
EACH_KIND = ("RN50", "ViT-B-32", "ViT-B-16", "PE-Core-T-16-384", "MobileCLIP2-S0")
IMAGES, TURNS = 16, 3
PIPELINE = ("extraction", "prediction")


class StandInTokenizer:
    """Words of a text as numbers, with the start, end and pads of a tokenizer of Hugging Face's.

    Args:
        start: ids before a text.
        end: ids behind it.
        pad: the id that fills rows up.
        context_length: ids in a row.
        strip_sep_token: write 0 for the end, as CLIPA does.
    """

    def __init__(
        self, start: list[int], end: list[int], pad: int, context_length: int, strip_sep_token: bool = False
    ) -> None:
        self.start, self.end, self.context_length = start, end, context_length
        self.strip_sep_token = strip_sep_token
        self.tokenizer = self
        self.pad_token_id = pad
        self.sep_token_id = end[-1]
        self.clean_fn = str.lower

    def __call__(self, texts: str | list[str], add_special_tokens: bool = True) -> Any:
        """Ids of one text as Hugging Face gives them, or open_clip's rows of several."""
        if isinstance(texts, str):
            ids = [200 + sum(word.encode()) % 700 for word in self.clean_fn(texts).split()]
            return SimpleNamespace(input_ids=[*self.start, *ids, *self.end] if add_special_tokens else ids)
        rows = [self(self.clean_fn(text)).input_ids for text in texts]
        found = torch.tensor([row + [self.pad_token_id] * (self.context_length - len(row)) for row in rows])
        return found.masked_fill(found == self.sep_token_id, 0) if self.strip_sep_token else found


def stand_in(text: dict[str, Any]) -> StandInTokenizer:
    """Of the same kind as the one that a text configuration names on the Hugging Face Hub."""
    name, length = text["hf_tokenizer_name"], text.get("context_length", 77)
    if "bert-base" in name and "roberta" not in name:
        return StandInTokenizer([101], [102], 0, length, text.get("tokenizer_kwargs", {}).get("strip_sep_token", False))
    if "SigLIP" in name:
        pad = 0 if "SigLIP2" in name else 1  # Gemma's has a pad of its own, T5's English one pads with its end
        return StandInTokenizer([], [1], pad, length)
    if "nllb" in name:
        return StandInTokenizer([150], [2], 1, length)
    return StandInTokenizer([0], [2], 1, length)


def small_text_model(name: str, folder: Path) -> str:
    """A folder with the configuration of a small text model of the kind of one on the Hub."""
    from transformers import M2M100Config, RobertaConfig, XLMRobertaConfig

    sizes = {"vocab_size": 1000, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    if "nllb" in name:
        config: Any = M2M100Config(
            vocab_size=1000, d_model=64, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=128, decoder_ffn_dim=128, scale_embedding=True,
        )  # fmt: skip
    else:
        kind = XLMRobertaConfig if "xlm" in name else RobertaConfig
        config = kind(**sizes, intermediate_size=128, max_position_embeddings=90)
    config.save_pretrained(folder / name)
    return str(folder / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", nargs="*")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--speed", nargs="*")
    parser.add_argument("--most", type=int, default=MOST)
    asked = parser.parse_args()
    torch.set_grad_enabled(False)
    if asked.table is not None:
        write_table(asked.table)
    if asked.names is not None:
        compare(asked.names or pretrained_names(), asked.most)
    if asked.speed is not None:
        speed(asked.speed or EACH_KIND)


def write_table(path: Path) -> None:
    """Patch, native size, parameters and GFLOP of every pretrained name."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["name", "patch", "image_size", "image_parameters", "text_parameters", "gflop"])
        for name in pretrained_names():
            config = open_clip.get_model_config(name)
            with torch.device("meta"):
                tower = build_image_tower(config).eval().requires_grad_(False)
                text = "" if "hf_model_name" in config["text_cfg"] else text_parameters(config)
                cost = f"{gflop(tower, native_size(tower)):.2f}"
            table.writerow([name, tower_kind(tower).patch_side(tower), native_size(tower), count(tower), text, cost])


def gflop(tower: nn.Module, size: int) -> float:
    """10⁹ multiplications and additions of a tower's own forward pass over one image, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        tower(torch.empty(1, 3, size, size, device="meta"))
    return float(counter.get_total_flops() / 1e9)


def text_parameters(config: dict[str, Any]) -> int:
    text: nn.Module = open_clip.model._build_text_tower(config["embed_dim"], config["text_cfg"])
    return count(text)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def compare(names: list[str], most: int) -> None:
    print("name,image tower,text tower,built,R,region 0,sentences,prompts", flush=True)
    done: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            config = open_clip.get_model_config(name)
            key = json.dumps(config, sort_keys=True)
            if key not in done:
                try:
                    done[key] = one(config, most, Path(folder))
                except Exception as error:  # one name must not keep the others from being tried
                    done[key] = f"FAILED: {type(error).__name__} {str(error)[:200]!r}"
                gc.collect()
            print(f"{name},{done[key]}", flush=True)
    failed = [line for line in done.values() if "FAILED" in line or "DIFFERS" in line]
    sys.exit(f"{len(failed)} kinds of model failed" if failed else 0)


def one(config: dict[str, Any], most: int, folder: Path) -> str:
    config = deepcopy(config)
    text, built = config["text_cfg"], "full"
    if "hf_model_name" in text:
        text["hf_model_name"] = small_text_model(text["hf_model_name"], folder)
        built = "full image tower, small text tower of its kind"
    tokenizer = (
        stand_in(text)
        if "hf_tokenizer_name" in text
        else open_clip.SimpleTokenizer(context_length=text["context_length"])
    )
    if "hf_tokenizer_name" in text and "hf_model_name" not in text:
        built = "full, tokenizer of its kind"
    torch.manual_seed(0)
    with torch.device("meta"):
        size = count(build_image_tower(config)) + (0 if "hf_model_name" in text else text_parameters(config))
    if size > most:
        built += f", {KEPT_BLOCKS} blocks"
    model = shortened(config) if size > most else build_model(config, quick_gelu=config.get("quick_gelu", False))
    randomise(model.eval())
    kind, resnet = tower_kind(model.visual), isinstance(model.visual, ModifiedResNet)
    pixels = torch.randn(1, 3, *[native_size(model.visual)] * 2)
    own = pool_without_attention(model.visual, pixels) if resnet else encoded(model.encode_image, pixels)
    kind.prepare(model.visual)
    regions = kind.regions(model.visual, pixels)
    tower = text_tower(model, tokenizer)
    theirs = encoded(model.encode_text, tokenizer(TEXTS))
    rows = [[*tower.tokenize(sentence), *tower.end_tokens] for sentence in TEXTS]
    ends = torch.tensor([len(row) - 1 for row in rows])
    embedded = tower.embed(nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True))
    prompts = tower.encode(embedded, ends, tower.prefix(tower.embed(tower.start_tokens)))
    found = [share(regions[:, 0], own), share(tower.encode_texts(TEXTS), theirs), share(prompts, theirs)]
    said = [f"{value:.1e}" + ("" if value <= 1e-5 else " DIFFERS") for value in found]
    return ",".join(
        [kind.name.replace(",", ""), type(tower).__name__, built.replace(",", ";"), str(regions.shape[1]), *said]
    )


def speed(names: Sequence[str]) -> None:
    from overlap import draw_photos, rates  # beside this file, which tests load without its folder

    print("name,pixels,open_clip's own images/s,regions images/s,regions of own,extraction of regions,prediction")
    unseen = {kind.name for kind in TOWER_KINDS}
    with tempfile.TemporaryDirectory() as folder:
        draw_photos(Path(folder))
        images = [ImageFile(path) for path in sorted(Path(folder).iterdir())[:IMAGES]]
        for name in names:
            config = open_clip.get_model_config(name)
            visual = build_image_tower(config).eval().requires_grad_(False)
            unseen -= {tower_kind(visual).name}
            backbone = random_backbone(config, name)
            found = rates(backbone, images, Path(folder, name), TURNS, visual)
            shares = [found["tower"] / found["plain"], *(found[work] / found["tower"] for work in PIPELINE)]
            said = [f"{100 * share:.0f} %" for share in shares]
            print(
                name, backbone.image_size, f"{found['plain']:.1f}", f"{found['tower']:.1f}", *said, sep=",", flush=True
            )
    for kind in sorted(unseen):
        print(f"not measured: {kind}")


def random_backbone(config: dict[str, Any], name: str) -> ClipBackbone:
    text = config["text_cfg"]
    tokenizer = stand_in(text) if "hf_tokenizer_name" in text else open_clip.SimpleTokenizer()
    model: Any = build_random_model(config)
    return ClipBackbone(model, name, None, Preprocessing(native_size(model.visual), MEAN, STD), tokenizer=tokenizer)


def encoded(encode: Any, inputs: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = encode(inputs, normalize=False)
    return result


def share(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference as a share of the largest number; NaN counts as everything."""
    found = float((ours - theirs).abs().max() / theirs.abs().max())
    return 1.0 if math.isnan(found) else found


def pool_without_attention(visual: Any, pixels: torch.Tensor) -> torch.Tensor:
    """A CLIP ResNet's mean token through its pool, where it sees itself alone."""
    seen: list[torch.Tensor] = []
    pool = visual.attnpool
    handle = pool.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    visual(pixels)
    handle.remove()
    token = seen[0].flatten(2).mean(dim=2) + pool.positional_embedding[0]
    return pool.c_proj(pool.v_proj(token))  # type: ignore[no-any-return]


def randomise(model: nn.Module) -> None:
    """Weights that do something: timm and open_clip begin some at zero or close to it."""
    generator = torch.Generator().manual_seed(0)
    for key, tensor in model.named_parameters():
        if tensor.dim() <= 1 and "logit" not in key:
            tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))
        elif tensor.dim() > 1 and float(tensor.abs().max()) < 1e-3:
            tensor.copy_(0.02 * torch.randn(tensor.shape, generator=generator))


def shortened(config: dict[str, Any]) -> nn.Module:
    """The model at its widths with a few blocks only; the others never take any memory."""
    with torch.device("meta"):
        model: Any = build_model(config, quick_gelu=config.get("quick_gelu", False))
    for stack, name in block_lists(model):
        setattr(stack, name, getattr(stack, name)[:KEPT_BLOCKS])
    computed = {key for key, _ in model.named_buffers()} - set(model.state_dict())
    model.to_empty(device="cpu")
    for module in model.modules():
        if hasattr(module, "init_non_persistent_buffers"):
            module.init_non_persistent_buffers()
    for key in computed:
        owner = model.get_submodule(key.rpartition(".")[0])
        if key.endswith("attn_mask"):
            owner.attn_mask = torch.full(owner.attn_mask.shape, -torch.inf).triu(1)
        elif not hasattr(owner, "init_non_persistent_buffers"):
            raise ValueError(f"nobody knows how {key} is computed")
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.02) if parameter.dim() > 1 else nn.init.ones_(parameter)
    return model  # type: ignore[no-any-return]


def block_lists(model: Any) -> Iterator[tuple[Any, str]]:
    for module in list(model.modules()):
        for name in ("resblocks", "blocks"):
            if isinstance(getattr(module, name, None), nn.Sequential | nn.ModuleList):
                yield module, name


if __name__ == "__main__":
    main()
