"""What a folder of cells says when it is continued with other settings."""

from pathlib import Path

import pytest

from promptmlr.errors import UserError
from promptmlr.experiments.grid.folder import GridFolder


@pytest.mark.parametrize(
    ("there", "here", "words"),
    [
        ({"order_seed": 0}, {"order_seed": 1}, "another --order-seed (0 there, 1 here)"),
        ({"recipe": {"epochs": 3}}, {"recipe": {"epochs": 4}}, "another recipe, epochs (3 there, 4 here)"),
        ({"recipe": {"old": 1, "epochs": 3}}, {"recipe": {"epochs": 3}}, "another recipe, old (1 there, null here)"),
        ({"recipe": {"new": None}}, {"recipe": {}}, "another recipe, new"),
        ({"train": "a" * 64}, {"train": "b" * 64}, "another set of training images; name"),
    ],
)
def test_what_differs_is_named(tmp_path: Path, there: dict, here: dict, words: str) -> None:
    with GridFolder(tmp_path, "compare").held({"baseline at 0.1": there}):
        pass
    with GridFolder(tmp_path, "compare").held({"baseline at 0.1": there}):
        pass
    with pytest.raises(UserError) as error, GridFolder(tmp_path, "compare").held({"baseline at 0.1": here}):
        pass
    assert words in str(error.value)
