"""docs/how-to/labels.md does what it says, in the folder of the README's reader."""

import pytest

from test_readme import ROOT, check, folder

__all__ = ["folder"]


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_labels_in_and_out() -> None:
    check((ROOT / "docs" / "how-to" / "labels.md").read_text(encoding="utf-8"))
