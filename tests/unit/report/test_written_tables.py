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


def test_a_table_from_before_a_column_was_added_is_replaced(tmp_path: Path) -> None:
    path, columns = tmp_path / "table.csv", ["method", "observed", "mean_ap", "f1_at_3", "classes"]
    write_csv(path, [*columns[:3], "classes"], [])
    write_csv(path, columns, [])
    assert path.read_text() == ",".join(columns) + "\n"
    for other in (
        columns[:2],
        ["method", "observed", "classes"],
        [*columns, "mine"],
        [*columns[:3], "classes", "f1_at_3"],
    ):
        path.write_text(",".join(other) + "\n")
        with pytest.raises(UserError, match="is another table"):
            write_csv(path, columns, [])
