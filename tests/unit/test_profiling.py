"""The parts of a profile: they add up to the whole, and the innermost gets the time."""

import itertools

import pytest
import torch

from promptmlr import profiling
from promptmlr.profiling import ELSE, backward_part, each, part, profiled


@pytest.fixture
def clock(monkeypatch) -> itertools.count:
    """Every look at the clock is a second later than the one before."""
    ticks = itertools.count()
    monkeypatch.setattr(profiling.time, "perf_counter", lambda: float(next(ticks)))
    return ticks


def test_time_belongs_to_the_innermost_part(clock) -> None:
    with profiled() as profile, part("outer"):
        next(clock)
        with part("inner"):
            pass
        with part("inner"):
            pass
    assert profile.seconds == {ELSE: 2.0, "outer": 4.0, "inner": 2.0}
    assert profile.times == {"outer": 1, "inner": 2}
    assert sum(profile.seconds.values()) == 8.0


def test_waiting_for_items_is_timed_and_what_is_done_with_them_is_not(clock) -> None:
    def slow() -> object:
        for item in "ab":
            next(clock)
            yield item

    with profiled() as profile:
        assert list(each("waiting", slow())) == ["a", "b"]
    assert profile.seconds["waiting"] == 5.0  # an extra second per item, and the end


def test_the_way_back_from_a_tensor_is_a_part(clock) -> None:
    start = torch.ones(3, requires_grad=True)
    with profiled() as profile:
        features = start * 2
        backward_part("text, backward", features)
        with part("backward"):
            features.square().sum().backward()
    assert profile.seconds["text, backward"] == profile.seconds["backward"] == 1.0
    assert start.grad is not None


def test_without_a_profile_nothing_is_counted_or_hooked() -> None:
    with profiled() as profile:
        pass
    features = torch.ones(3, requires_grad=True) * 2
    backward_part("text", features)
    with part("work"):
        features.sum().backward()
    assert list(each("items", [1, 2])) == [1, 2]
    assert set(profile.seconds) == {ELSE}


def test_a_part_that_fails_ends(clock) -> None:
    with profiled() as profile:
        with pytest.raises(ValueError, match="broken"), part("work"):
            raise ValueError("broken")
        with part("other"):
            pass
    assert profile.seconds["work"] == 1.0


def test_the_table_has_the_longest_part_first_and_the_whole_last(clock) -> None:
    with profiled() as profile:
        with part("short"):
            pass
        with part("long"):
            for _ in range(7):
                next(clock)
        lines = profile.table().splitlines()
    assert lines[1].split() == ["long", "8.00", "67%", "1"]
    assert lines[-1].split() == ["all", "12.00", "100%"]
