"""The how-to pages on exports and on following a run do what they say, as `test_readme` reads blocks."""

from pathlib import Path

import pytest

from test_readme import ROOT, blocks, check
from test_readme import folder as folder


@pytest.mark.slow
@pytest.mark.parametrize("page", ["export", "follow"])
def test_a_page_does_what_it_says(folder: Path, page: str) -> None:
    text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text(encoding="utf-8")
    assert {"python", "console"} <= {block.language for block in blocks(text) if block.mark is None}
    check(text)
