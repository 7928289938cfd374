"""Weights by their tag: downloaded by open_clip, or one line that says how to bring them."""

import logging
from pathlib import Path

from open_clip.pretrained import download_pretrained, get_pretrained_cfg

from promptmlr.backbone.catalogue import uses_quick_gelu
from promptmlr.errors import EnvironmentFault

__all__ = ["download_weights"]


def download_weights(name: str, tag: str) -> Path:
    """The file of a model's weights, downloaded where it is not in open_clip's cache yet.

    Args:
        name: a model of open_clip.
        tag: one of its pretrained tags.

    Raises:
        EnvironmentFault: it could not be downloaded.
    """
    retries = logging.getLogger("huggingface_hub")  # a line for each of them, which says less than ours at the end
    level = retries.level
    retries.setLevel(logging.ERROR)
    try:
        return Path(download_pretrained(get_pretrained_cfg(name, tag)))
    except Exception as error:  # whatever its downloaders met
        reason = (str(error).splitlines() or [type(error).__name__])[0].split(". ")[0][:200]
        raise EnvironmentFault(_how_to_place(name, tag, reason)) from error
    finally:
        retries.setLevel(level)


def _how_to_place(name: str, tag: str, reason: str) -> str:
    """One line that says which file to put where when there is no network."""
    config = get_pretrained_cfg(name, tag)
    source = config.get("url") or f"open_clip_pytorch_model.bin of {config['hf_hub'].strip('/')} on Hugging Face"
    # A file does not tell its activation; the name of the model must.
    by_tag_alone = uses_quick_gelu(name, tag) and not uses_quick_gelu(name, "")
    return (
        f"cannot download {name} ({tag}): {reason}; without a network, fetch {source} on another machine and pass "
        f"the file: --backbone {name}{'-quickgelu' if by_tag_alone else ''} --pretrained FILE (or look around "
        "with the miniature: --backbone scenes)"
    )
