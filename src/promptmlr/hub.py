"""Runs on the Hugging Face Hub: `hf://owner/name` or `hf://owner/name@revision`, down and up.

Only files that a run is read from come down, and none of them can run code: JSON, safetensors and Markdown.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from promptmlr.errors import EnvironmentFault, UserError

__all__ = ["HubName", "download_run", "hub_name", "push_folder"]

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_NO_NAME = "{!r} names no repository of the Hugging Face Hub; write owner/name, such as ann/shop-tags"
_REFERENCE = re.compile(r"hf:/{1,2}(?P<repository>[^@]*)(?:@(?P<revision>.+))?")  # a Path makes one slash of two


@dataclass(frozen=True)
class HubName:
    """Where a run lies on the Hub: "owner/name", and a branch, tag or commit where it is named."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"hf://{self.repository}" + ("" if self.revision is None else f"@{self.revision}")


def hub_name(text: str | Path) -> HubName | None:
    """What `hf://…` names; None for any other text.

    Raises:
        UserError: it is no owner/name.
    """
    match = _REFERENCE.fullmatch(str(text))
    if match is None:
        return None
    return HubName(_checked(match["repository"]), match["revision"])


def download_run(name: HubName, files: Sequence[str]) -> Path:
    """The folder that holds the run, in the cache of huggingface_hub; downloaded where it is not there yet.

    Args:
        name: where it lies.
        files: what comes down; nothing else does.

    Raises:
        UserError: there is no such repository or revision, or it may not be seen.
        EnvironmentFault: the Hub cannot be reached.
    """
    import huggingface_hub

    with _one_line(name):
        found = huggingface_hub.snapshot_download(
            name.repository, revision=name.revision, allow_patterns=list(files), library_name="promptmlr"
        )
    return Path(str(found))


def push_folder(folder: Path, repository: str, *, private: bool = False) -> str:
    """Upload a folder as a commit to a repository of models, which is made where it is not there yet.

    Args:
        folder: all its files.
        repository: "owner/name".
        private: of a repository that is made; one that exists stays as it is.

    Returns:
        The address of the repository.

    Raises:
        UserError: no such owner, or no token that may write there.
        EnvironmentFault: the Hub cannot be reached.
    """
    import huggingface_hub

    name = HubName(_checked(repository))
    with _one_line(name, upload=True):
        api = huggingface_hub.HfApi(library_name="promptmlr")
        made = api.create_repo(name.repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=name.repository, folder_path=folder, commit_message="A run of promptmlr")
    return str(made)


def _checked(repository: str) -> str:
    if _REPOSITORY.fullmatch(repository) is None:
        raise UserError(_NO_NAME.format(repository))
    return repository


@contextmanager
def _one_line(name: HubName, upload: bool = False) -> Iterator[None]:
    """Whatever huggingface_hub meets, as one line that says what to do."""
    from huggingface_hub import errors

    token = "log in with `hf auth login`, or set HF_TOKEN to a token" + (" that may write" if upload else "")
    logger = logging.getLogger("huggingface_hub")  # a line for each retry, which says less than ours at the end
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    except errors.HFValidationError as error:
        raise UserError(_NO_NAME.format(name.repository)) from error
    except errors.LocalTokenNotFoundError as error:
        raise UserError(f"{name}: no token of the Hugging Face Hub on this machine; {token}") from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{name}: the repository has no revision {name.revision!r}") from error
    except errors.GatedRepoError as error:
        raise UserError(f"{name}: ask for access on its page first, then {token}") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(f"{name}: no such repository of models, or a private one; {token}") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise UserError(f"{name}: the Hub refuses the token ({status}: {_short(error)}); {token}") from error
        raise EnvironmentFault(f"{name}: the Hub answers {status} ({_short(error)}); try again later") from error
    except (errors.LocalEntryNotFoundError, ConnectionError, TimeoutError) as error:
        raise EnvironmentFault(_unreachable(name, error)) from error
    except Exception as error:  # of the HTTP library beneath, which differs from version to version
        if not type(error).__module__.startswith(("httpx", "httpcore", "requests", "urllib3", "huggingface_hub")):
            raise
        raise EnvironmentFault(_unreachable(name, error)) from error
    finally:
        logger.setLevel(level)


def _unreachable(name: HubName, error: Exception) -> str:
    return (
        f"{name}: the Hugging Face Hub cannot be reached ({_short(error)}); without a network use a run folder: "
        "promptmlr export RUN --to hub --out FOLDER makes one"
    )


def _short(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[0][:160]
