"""docs/how-to/labels.md does and prints what it says, in the folder of the README's reader."""

import pytest

from test_readme import ROOT, check, folder

__all__ = ["folder"]


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_labels_in_and_out(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "how-to" / "labels.md").read_text(encoding="utf-8")
    check(page, lambda: "".join(reversed(capsys.readouterr())))
