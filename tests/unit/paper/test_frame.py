"""What all experiments share: work up to a deadline, estimates as words and records, tables corrected together."""

from dataclasses import dataclass

import pytest

from promptmlr.paper.estimates import Corrected, corrected, ends, percent, points, spread
from promptmlr.paper.jobs import Deadline, OutOfTime, completed_tasks
from promptmlr.uncertainty import Estimate


def double(factor: int, task: int) -> int:
    return factor * task


class AfterTwo(Deadline):
    """Is still to come when asked for the first two times."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 2

    def ahead(self) -> bool:
        self.left -= 1
        return self.left >= 0


def test_what_was_begun_before_a_deadline_is_finished_and_the_rest_is_said() -> None:
    found: dict[int, int] = {}
    with pytest.raises(OutOfTime, match="repeat the command"):
        found.update(completed_tasks(double, 2, [1, 2, 3], 1, Deadline(0)))
    assert found == {}
    with pytest.raises(OutOfTime):
        found.update(completed_tasks(double, 2, [1, 2, 3], 1, AfterTwo()))
    assert found == {1: 2, 2: 4}


def test_a_deadline_that_leaves_nothing_undone_is_no_error() -> None:
    assert list(completed_tasks(double, 2, [1, 2], 1, AfterTwo())) == [(1, 2), (2, 4)]
    assert list(completed_tasks(double, 2, [], 1, Deadline(0))) == []


GAIN = Estimate(0.03, 0.021, 0.039, 0.001, 3)
NOISE = Estimate(-0.0004, -0.01, 0.01, 0.9, 3)


def test_estimates_in_words_and_as_records() -> None:
    assert points(GAIN) == "+3.0 (+2.1 to +3.9)"
    assert points(NOISE) == "+0.0 (−1.0 to +1.0)"
    assert percent(GAIN) == "3.0 (2.1 to 3.9)"
    assert ends(GAIN, "mean_ap") == {"mean_ap": 0.03, "low": 0.021, "high": 0.039}
    assert ends(GAIN, "points") == {"points": 3.0, "low": 2.1, "high": 3.9}
    assert spread(1) == "test images alone, as there is one seed"
    assert spread(3, "photos") == "photos and 3 seeds"


@dataclass(frozen=True)
class Gain(Corrected):
    method: str

    more = "gain"


def test_a_table_is_corrected_together_and_speaks_its_own_words() -> None:
    first, second = corrected(Gain, [(GAIN, "good"), (NOISE, "same")])
    assert (first.method, first.p_holm, str(first)) == ("good", 0.002, "+3.0 (+2.1 to +3.9) gain")
    assert (second.p_holm, second.verdict) == (0.9, "within noise")
    assert first.record("points")["verdict"] == "gain"
    many = corrected(Gain, [(GAIN, f"{number}") for number in range(60)])
    assert {one.verdict for one in many} == {"undecided"}
