"""The simulation of bench/scale.py: no shard is lost or counted twice, time adds up, and theory agrees."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workers import Farm, expected_redone, simulate

HOUR = 3600.0
RATES = st.sampled_from([0.0, 0.1 / HOUR, 5 / HOUR])

FARMS = st.builds(
    Farm,
    workers=st.integers(1, 12),
    shards=st.integers(1, 60),
    shard_seconds=st.floats(1, 900),
    open_seconds=st.floats(0, 20),
    record_seconds=st.floats(0, 60),
    spread=st.floats(0, 1),
    failure_rate=RATES,
    restart_seconds=st.floats(0, 600),
    preemption_rate=RATES,
    replacement_seconds=st.floats(0, 600),
    lapse_seconds=st.floats(0, 600),
    backups=st.booleans(),
    static=st.booleans(),
)


@given(FARMS, st.integers(0, 2**32 - 1))
def test_no_shard_is_lost_or_counted_twice_and_time_adds_up(farm: Farm, seed: int) -> None:
    out = simulate(farm, seed)
    assert sorted(out.manifest) == list(range(farm.shards))
    assert set(out.renamed) == set(out.manifest)
    spent = out.useful + out.redone + out.opening + out.down + out.idle
    assert spent == pytest.approx(farm.workers * out.seconds)
    assert simulate(farm, seed) == out


@given(FARMS)
def test_without_troubles_the_time_is_that_of_the_rounds(farm: Farm) -> None:
    calm = Farm(farm.workers, farm.shards, farm.shard_seconds, farm.open_seconds, farm.record_seconds)
    rounds = -(-farm.shards // farm.workers)
    out = simulate(calm)
    assert out.seconds == pytest.approx(rounds * (farm.shard_seconds + farm.open_seconds + farm.record_seconds))
    assert (out.redone, out.deaths) == (0, 0)


@pytest.mark.parametrize("shard_seconds", [60, 600, 3600])
def test_redone_work_is_what_theory_says(shard_seconds: float) -> None:
    """About the rate of deaths times half a shard."""
    rate = 0.5 / HOUR
    farm = Farm(20, 4_000, shard_seconds, failure_rate=rate / 2, preemption_rate=rate / 2, replacement_seconds=60)
    out = simulate(farm, seed=1)
    assert out.useful == pytest.approx(farm.shards * shard_seconds)
    found = out.redone / out.useful
    assert found == pytest.approx(expected_redone(rate, shard_seconds), rel=0.15)
    if rate * shard_seconds < 0.1:
        assert expected_redone(rate, shard_seconds) == pytest.approx(rate * shard_seconds / 2, rel=0.05)


def test_deaths_come_at_their_rate() -> None:
    out = simulate(Farm(50, 5_000, 600, failure_rate=1 / HOUR, restart_seconds=0), seed=2)
    assert out.deaths == pytest.approx(50 * out.seconds / HOUR, rel=0.1)


def test_claiming_has_a_shorter_tail_than_dealing_out_and_backups_a_shorter_one_still() -> None:
    common = {"workers": 50, "shards": 500, "shard_seconds": 600.0, "spread": 0.5}
    dealt, claimed, backed = (
        simulate(Farm(**common, **how), seed=3) for how in ({"static": True}, {}, {"backups": True})
    )
    assert dealt.seconds > 1.5 * claimed.seconds
    assert backed.seconds < claimed.seconds
    assert backed.redone > claimed.redone == 0
