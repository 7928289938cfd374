"""Weights of open_clip's models: their file, its download, or instructions in one line if there is no network."""

import logging
from pathlib import Path

from open_clip.pretrained import download_pretrained, get_pretrained_cfg

from promptmlr.backbone.catalogue import CatalogueEntry
from promptmlr.errors import EnvironmentFault, UserError, nearest
from promptmlr.names import checked_path

__all__ = ["download_weights", "find_weights"]


def find_weights(entry: CatalogueEntry, pretrained: str) -> tuple[str, Path | None]:
    """Parse the name of a model's weights: TAG, FILE, or TAG=FILE.

    The tag determines activation, mean and deviation, which a file does not contain.

    Returns:
        The tag ("" for a file alone), and the file or None.

    Raises:
        UserError: there is no such tag, or no such file.
    """
    if pretrained in entry.tags:
        return pretrained, None
    if checked_path(pretrained).is_file():
        return "", Path(pretrained).resolve()
    tag, equals, file = pretrained.partition("=")
    if equals and tag in entry.tags:
        if not file:
            raise UserError(f"{pretrained} names no file after '='; write {tag}=FILE, or {tag} alone to download it")
        if checked_path(file).is_file():
            return tag, Path(file).resolve()
        raise UserError(f"no checkpoint at {file}; give the path of an existing file, as in --pretrained {tag}=FILE")
    known = nearest(tag, entry.tags) if entry.tags else "it has no tags: name a file"
    raise UserError(f"{entry.name} has no pretrained tag {tag!r} and there is no such file; {known}")


def download_weights(name: str, tag: str) -> Path:
    """The file of a model's weights, downloaded unless it is in open_clip's cache.

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
    """A line on which file to copy from another machine."""
    config = get_pretrained_cfg(name, tag)
    source = config.get("url") or f"open_clip_pytorch_model.bin of {config['hf_hub'].strip('/')} on Hugging Face"
    return (
        f"cannot download {name} ({tag}): {reason}; without a network, fetch {source} on another machine and pass "
        f"the file: --backbone {name} --pretrained {tag}=FILE (or try the miniature: --backbone scenes)"
    )
