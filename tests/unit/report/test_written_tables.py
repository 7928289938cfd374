"""A table that a command writes never replaces somebody's own."""

from pathlib import Path

import pytest

from promptmlr.errors import UserError
from promptmlr.report.tables import write_csv


def test_a_table_of_ones_own_is_replaced_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "classes.csv"
    write_csv(path, ["class", "present"], [{"class": "dog", "present": 1}])
    write_csv(path, ["class", "present"], [{"class": "cat", "present": 2}])
    assert path.read_text() == "class,present\ncat,2\n"
    with pytest.raises(UserError, match=r"classes\.csv is another table.*rename it"):
        write_csv(path, ["class", "absent"], [])
    assert path.read_text() == "class,present\ncat,2\n"
