"""The same archives on Ray: a cluster that these tests start on this machine, with two workers, and shut down."""

import os
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from archive_support import drawn_files, write_shards, write_tar
from promptmlr.archives import Job, Manifest, Predictor, find_shards, process
from promptmlr.archives.sample import Sample
from promptmlr.options import ArchiveOptions

ON_RAY = ("--engine", "ray", "--actors", "2")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # Ray's own, of what it starts


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    import ray

    places = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]  # of what actors here import besides
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    with warnings.catch_warnings(action="ignore"):
        ray.init(address="local", num_cpus=2, runtime_env={"env_vars": {"PYTHONPATH": ":".join(places)}}, **quiet)
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def tars(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tars")
    write_shards(folder, 5, 4)
    return folder


def rows(out: Path) -> list[dict]:
    return [row for path in sorted(out.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


class DyingPredictor(Predictor):
    """Kills its process in the middle of a shard, once for each of `mortal`."""

    mortal: tuple[str, ...] = ()
    deaths: Path

    def rows(self, samples):
        for number, batch in enumerate(super().rows(samples)):
            yield batch
            mark = self.deaths / batch["id"][0].as_py()
            if number == 0 and mark.name in self.mortal and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)


def test_rows_are_those_of_one_process_and_finished_shards_are_skipped(promptmlr, trained, tars, tmp_path) -> None:
    assert promptmlr("predict", trained, tars / "*.tar", "--out", tmp_path / "one").code == 0
    command = ("predict", trained, tars / "{00000..00004}.tar", "--out", tmp_path / "ray", *ON_RAY)
    done = promptmlr(*command)
    assert done.code == 0, done.err
    assert "5 shards finished: 20 rows" in done.err
    assert rows(tmp_path / "one") == rows(tmp_path / "ray")
    assert "5 shards finished, 5 of them before" in promptmlr(*command).err
    assert "5 of them before" in promptmlr(*command[: -len(ON_RAY)]).err, (
        "what Ray finished is finished for one process, too"
    )


def test_a_killed_worker_loses_nothing_and_doubles_nothing(trained, tars, tmp_path) -> None:
    shards = list(find_shards([str(tars)]))
    for name, kind in (("whole", Predictor), ("killed", DyingPredictor)):
        predictor = kind(trained, batch_size=1)
        if kind is DyingPredictor:
            predictor.deaths, predictor.mortal = tmp_path / "deaths", ("000000000", "000000008", "000000012")
            predictor.deaths.mkdir()
        job = Job(predictor, Manifest(str(tmp_path / name), predictor.identity(), "parquet"))
        options = ArchiveOptions() if name == "whole" else ArchiveOptions(engine="ray", actors="1,2")
        summary = process(job, shards, options)
        assert (summary.shards, summary.rows) == (5, 20)
    assert len(list((tmp_path / "deaths").iterdir())) == 3
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    assert [row["id"] for row in rows(tmp_path / "killed")] == [f"{number:09d}" for number in range(20)]


def test_what_is_wrong_is_a_line_here_as_well(promptmlr, trained, tmp_path) -> None:
    write_shards(tmp_path, 2, 2)
    write_tar(tmp_path / "00001.tar", drawn_files(0, 1) * 2)
    done = promptmlr("predict", trained, tmp_path / "{00000..00002}.tar", "--out", tmp_path / "out", *ON_RAY)
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    assert "2 shards could not be processed" in done.err.splitlines()[-1]
    assert len(rows(tmp_path / "out")) == 2
    strict = ("--strict", "--top", "1", "--out", tmp_path / "strict")
    write_tar(tmp_path / "00002.tar", [("a.png", b"no image")])
    done = promptmlr("predict", trained, tmp_path / "00002.tar", *strict, *ON_RAY)
    assert (done.code, done.err.splitlines()[-1].startswith("error: a: not an image")) == (2, True), done.err


def test_regions_on_ray(promptmlr, tars, tmp_path) -> None:
    for out, engine in (("here", ()), ("ray", ON_RAY)):
        done = promptmlr("cache", tars / "*.tar", "--backbone", "scenes", "--out", tmp_path / out, *engine)
        assert done.code == 0, done.err
    assert rows(tmp_path / "here") == rows(tmp_path / "ray")


def test_a_predictor_maps_batches_of_ray_data(trained) -> None:
    import ray.data

    images = [content for name, content in drawn_files(0, 6) if name.endswith(".png")]
    found = ray.data.from_items([{"name": str(number), "image": image} for number, image in enumerate(images)])
    mapped = found.map_batches(Predictor, fn_constructor_args=(str(trained),), batch_size=4, concurrency=1).take_all()
    expected = Predictor(trained)({"image": images})["probabilities"]
    by_name = {row["name"]: row for row in mapped}
    np.testing.assert_allclose([by_name[str(number)]["probabilities"] for number in range(6)], expected, atol=1e-6)
    assert not any(row["error"] for row in mapped)
    assert Sample("0", images[0]).open().size
