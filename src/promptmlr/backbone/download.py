"""Files of models: finding them, downloading them, or at once one line of instructions if there is no network."""

import logging
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import huggingface_hub
from huggingface_hub.errors import HFValidationError
from open_clip.pretrained import download_pretrained, download_pretrained_from_hf, get_pretrained_cfg

from promptmlr.errors import EnvironmentFault, UserError, nearest
from promptmlr.names import checked_path

if TYPE_CHECKING:
    from promptmlr.backbone.catalogue import CatalogueEntry

__all__ = ["download_weights", "find_weights", "hub_file", "hub_weights", "is_at_hand", "quickly"]

PATIENCE = 2.5  # seconds for the network to answer at all, before anything that would try again and again is asked


def find_weights(entry: "CatalogueEntry", pretrained: str | None) -> tuple[str, Path | None]:
    """Parse the name of a model's weights: TAG, FILE, or TAG=FILE; None is "openai", or the only tag there is.

    The tag determines activation, mean and deviation, which a file does not contain.

    Returns:
        The tag ("" for a file alone), and the file or folder, or None.

    Raises:
        UserError: there is no such tag, or no such file.
    """
    pretrained = pretrained or (entry.tags[0] if len(entry.tags) == 1 else "openai")
    if pretrained in entry.tags:
        return pretrained, None
    if checked_path(pretrained).exists():
        return "", Path(pretrained).resolve()
    tag, equals, file = pretrained.partition("=")
    if equals and tag in entry.tags:
        if not file:
            raise UserError(f"{pretrained} names no file after '='; write {tag}=FILE, or {tag} alone to download it")
        if checked_path(file).exists():
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
    config = get_pretrained_cfg(name, tag)
    repository = config.get("hf_hub", "").strip("/")
    source = config.get("url") or f"open_clip_pytorch_model.bin of {repository} on Hugging Face"
    advice = (
        f"fetch {source} on another machine and pass the file: --backbone {name} --pretrained {tag}=FILE (or try "
        "the miniature: --backbone scenes)"
    )
    with quickly(f"{name} ({tag})", advice):
        return Path(download_pretrained(config))


def hub_file(repository: str, file: str) -> Path:
    """One file of a repository on the Hugging Face Hub.

    Raises:
        UserError: no repository can have this name.
        EnvironmentFault: it is not in the cache, and could not be downloaded.
    """
    _in_cache(repository, file)  # judges the name before the network is asked
    with quickly(f"{file} of hf-hub:{repository}", _folder_advice(repository)):
        return Path(huggingface_hub.hf_hub_download(repository, file, library_name="promptmlr"))


def hub_weights(repository: str) -> Path:
    """The weights that open_clip finds in a repository on the Hugging Face Hub.

    Raises:
        EnvironmentFault: they are not in the cache, and could not be downloaded.
    """
    with quickly(f"the weights of hf-hub:{repository}", _folder_advice(repository)):
        return Path(download_pretrained_from_hf(repository))


def is_at_hand(repository: str) -> bool:
    """Whether a repository's weights are in the cache of huggingface_hub.

    Raises:
        UserError: no repository can have this name.
    """
    return any(_in_cache(repository, file) for file in ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"))


@contextmanager
def quickly(what: str, advice: str) -> Iterator[None]:
    """Around downloads: without a network, caches are asked and nothing is tried again and again.

    Args:
        what: is downloaded.
        advice: what to do without a network.

    Raises:
        EnvironmentFault: it could not be had, in one line with the advice.
    """
    retries = logging.getLogger("huggingface_hub")  # a line for each of them, which says less than ours at the end
    level, offline = retries.level, huggingface_hub.constants.HF_HUB_OFFLINE
    there = offline or _answers(huggingface_hub.constants.ENDPOINT)
    retries.setLevel(logging.ERROR)
    huggingface_hub.constants.HF_HUB_OFFLINE = offline or not there
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # whatever its downloaders met
        reason = (str(error).splitlines() or [type(error).__name__])[0].split(". ")[0][:200]
        if not there:
            reason = f"{urlsplit(huggingface_hub.constants.ENDPOINT).hostname} does not answer"
        raise EnvironmentFault(f"cannot download {what}: {reason}; without a network, {advice}") from error
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE = offline
        retries.setLevel(level)


def _in_cache(repository: str, file: str) -> bool:
    try:
        return isinstance(huggingface_hub.try_to_load_from_cache(repository, file), str)
    except HFValidationError as error:
        raise UserError(f"hf-hub:{repository} names no repository; write hf-hub:owner/name") from error


def _folder_advice(repository: str) -> str:
    return (
        f"fetch all files of https://huggingface.co/{repository} on another machine into a folder and pass it: "
        "--backbone local-dir:FOLDER"
    )


def _answers(address: str) -> bool:
    """Whether anyone answers there, through a proxy where there is one, within seconds.

    In a thread, because no timeout covers the resolving of names.
    """
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(_any_answer, address).result(PATIENCE)
    except TimeoutError:
        return False
    finally:
        pool.shutdown(wait=False)


def _any_answer(address: str) -> bool:
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=PATIENCE).close()
    except (urllib.error.HTTPError, ssl.SSLError):
        return True
    except OSError as error:  # certificates are the downloader's to judge
        return isinstance(getattr(error, "reason", None), ssl.SSLError)
    return True
