"""`promptmlr push`: a run to the Hugging Face Hub."""

import tempfile
from pathlib import Path

from promptmlr.cli.options import RunFolder
from promptmlr.cli.progress import note

__all__ = ["push"]


def push(run: RunFolder, repository: str, /, *, private: bool = False) -> None:
    """Upload a run and its model card to the Hugging Face Hub, in the layout of `export --to hub`.

    Args:
        repository: owner/name on the Hub; created if it does not exist.
        private: Make a new repository private; an existing one is not changed.
    """
    from promptmlr.export.hub_folder import write_hub_folder
    from promptmlr.hub import push_folder
    from promptmlr.run import load_run

    loaded = load_run(run)
    with tempfile.TemporaryDirectory() as temporary:
        folder = write_hub_folder(loaded, Path(temporary) / "run", repository)
        address = push_folder(folder, repository, private=private)
    note(f"{address}; use it as hf://{repository}")
