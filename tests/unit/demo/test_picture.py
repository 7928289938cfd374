"""Which rows and columns of the table the picture shows."""

import numpy as np

from promptmlr.demo.picture import most_labelled_classes, rows_to_show

LABELS = np.array([[1, -1, -1, -1], [-1, 0, 1, -1], [0, -1, -1, -1], [-1, -1, 1, 0]], np.int8)


def test_rows_have_a_present_and_an_absent_label() -> None:
    assert rows_to_show(LABELS, 4).tolist() == [1, 3]
    assert rows_to_show(LABELS, 1).tolist() == [1]


def test_columns_are_those_with_most_present_labels_then_most_absent_ones() -> None:
    assert most_labelled_classes(LABELS, 1).tolist() == [2]
    assert most_labelled_classes(LABELS, 2).tolist() == [0, 2]
    assert most_labelled_classes(LABELS[1:2], 2).tolist() == [1, 2]
