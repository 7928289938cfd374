"""Archives in parts: names of shards, a predictor as a class, and what none of it may cost."""

import contextlib
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archive_support import drawn_files, png, write_tar
from promptmlr import scenes
from promptmlr.archives import Predictor, Shard, find_shards, is_archive, process_shard, share
from promptmlr.archives.engines.ray import _connected, run_on_ray
from promptmlr.archives.labels import LabelTable
from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.options import ArchiveOptions
from promptmlr.remote import opened


def test_ranges_are_written_out_one_by_one() -> None:
    shards = find_shards(["s3://nobody/{a,b}/{000..999999}.tar?x={1,2}", "https://example.org/x.parquet"])
    found = [next(shards).url for _ in range(3)]
    assert found == [
        f"s3://nobody/a/{number}.tar?x={query}" for number, query in (("000000", 1), ("000000", 2), ("000001", 1))
    ]


class _Ray:
    """What Ray does to SIGTERM when it begins, which may come before it has finished."""

    def __init__(self, comes: bool) -> None:
        self.comes = comes

    def is_initialized(self) -> bool:
        return False

    def init(self, **_options: object) -> None:
        signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(number))
        if self.comes:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("comes", [False, True])
def test_sigterm_ends_a_command_on_ray_as_any_other(comes: bool) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    try:
        with contextlib.suppress(SystemExit):
            _connected(_Ray(comes), None)
        assert heard == [signal.SIGTERM] * comes
        signal.raise_signal(signal.SIGTERM)
        assert len(heard) == 1 + comes
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_pipe_whose_output_is_of_no_use_is_not_waited_for() -> None:
    def read() -> None:
        with opened("pipe:echo x; exec sleep 60") as file:
            assert file.read(2) == b"x\n"
            raise ValueError("no tar")

    begun = time.monotonic()
    with pytest.raises(ValueError, match="no tar"):
        read()
    assert time.monotonic() - begun < 30


def test_shards_of_one_name_have_outputs_of_their_own() -> None:
    names = {Shard(f"s3://b/{folder}/00000.tar", "tar").name for folder in "ab"}
    assert len(names) == 2
    assert all(name.startswith("00000-") for name in names)
    assert Shard("pipe:aws s3 cp s3://b/c/7.tar -", "tar").name.isprintable()


def test_what_img2dataset_writes_beside_a_tar_is_no_shard(tmp_path: Path) -> None:
    for name in ("00000.tar", "00000.parquet", "00000_stats.json", "00001.parquet", "more/00001.tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [Path(shard.url).relative_to(tmp_path).as_posix() for shard in find_shards([str(tmp_path)])]
    assert names == ["00000.tar", "00001.parquet", "more/00001.tar"]
    assert [shard.kind for shard in find_shards([str(tmp_path / "00000.*")])] == ["tar"]
    assert [shard.kind for shard in find_shards([str(tmp_path / "*.parquet")])] == ["parquet", "parquet"]


@pytest.mark.parametrize(
    ("source", "archive"),
    [
        ("a/b.tar", True),
        ("a/b.tgz", True),
        ("a/{0..3}.tar", True),
        ("s3://a/b", True),
        ("pipe:cat x", True),
        ("photos", False),
        ("photos/*.jpg", False),
        ("a.npz", False),
    ],
)
def test_what_is_an_archive(source: str, archive: bool) -> None:
    assert is_archive(source) is archive


def test_parts_are_disjoint_and_whole() -> None:
    shards = [Shard(str(number), "tar") for number in range(10)]
    parts = [list(share(shards, f"{part}/3")) for part in range(3)]
    assert sorted((shard for part in parts for shard in part), key=lambda shard: int(shard.url)) == shards
    for wrong in ("3/3", "1", "a/b", "-1/3", "0/0"):
        with pytest.raises(UserError, match="--shard"):
            share(shards, wrong)


@pytest.mark.parametrize("wrong", [{"actors": "0"}, {"actors": "3,2"}, {"actors": "2"}, {"address": "auto"}])
def test_settings_of_ray_are_checked(wrong: dict) -> None:
    with pytest.raises(UserError):
        ArchiveOptions(**wrong, engine="ray" if wrong.get("actors") in ("0", "3,2") else "here")


@pytest.fixture
def predictor(loaded, scenes_backbone) -> Predictor:
    loaded[0].adopt(scenes_backbone)
    return Predictor(loaded[0])


def test_a_predictor_takes_batches_in_every_form(predictor: Predictor, tmp_path: Path) -> None:
    drawn = [scenes.draw_scene(7, number).image for number in range(2)]
    Image.fromarray(drawn[1]).save(tmp_path / "1.png")
    forms = [
        drawn[0],
        png(drawn[0]),
        {"bytes": png(drawn[0]), "path": None},
        str(tmp_path / "1.png"),
        b"junk",
        None,
        3.5,
    ]
    given = np.empty(len(forms), dtype=object)
    given[:] = forms
    found = predictor({"image": given, "name": np.arange(len(forms))})
    assert set(found) == {"name", "labels", "probabilities", "error"}
    assert [bool(error) for error in found["error"]] == [False] * 4 + [True] * 3
    assert np.isnan(found["probabilities"][4:]).all()
    (tmp_path / "0.png").write_bytes(png(drawn[0]))
    expected = predictor.run.predict([tmp_path / "0.png", tmp_path / "1.png"])
    np.testing.assert_allclose(found["probabilities"][:4], expected[[0, 0, 0, 1]], atol=1e-6)


def test_a_pickled_predictor_predicts_the_same_and_holds_no_tower(predictor: Predictor) -> None:
    sent = pickle.dumps(predictor)
    assert len(sent) < 1 << 20
    batch = {"image": [png(scenes.draw_scene(7, 0).image)]}
    received = pickle.loads(sent)
    assert received.identity() == predictor.identity()
    np.testing.assert_array_equal(received(batch)["probabilities"], predictor(batch)["probabilities"])


def test_a_shard_is_read_as_it_is_processed(predictor: Predictor, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", drawn_files(0, 9))
    predictor._batch_size, predictor._workers = 2, 0
    batches = process_shard(predictor, Shard(str(path), "tar"))
    assert next(batches)["id"].to_pylist() == ["000000000", "000000001"]
    path.write_bytes(b"")  # the rest was not held
    assert (
        sum(len(batch) for batch in process_shard(predictor, Shard(str(write_tar(path, drawn_files(0, 9))), "tar")))
        == 9
    )


def test_a_table_of_labels_is_checked(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    for content, word in (
        ("id,x\na,1\n", "none of its columns"),
        ("id,dog\na,1\na,0\n", "two rows"),
        ("", "empty"),
        ("id,dog\na,perhaps\n", "perhaps"),
    ):
        table.write_text(content)
        with pytest.raises(UserError, match=word):
            LabelTable(table, ["dog"])
    table.write_text("id,dog,cat\n007,yes,\n8,0,1.0\n")
    labels = LabelTable(table, ["dog", "cat"])
    assert (labels.of("007"), labels.of("8"), labels.of("9")) == ({"dog": 1}, {"dog": 0, "cat": 1}, {})


def test_an_address_without_a_cluster_is_told_at_once() -> None:
    ray = pytest.importorskip("ray")
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1"):
        with pytest.raises(EnvironmentFault, match=r"no Ray cluster there \(.*refused"):
            list(run_on_ray(None, [], ArchiveOptions(engine="ray", address=address), "cpu", print))
    assert not ray.is_initialized()


def test_the_command_line_stays_light() -> None:
    code = (
        "import sys; from promptmlr.cli import app, main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'ray', 's3fs', 'fsspec', 'torch', 'bracex', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    for words in (["--help"], ["predict", "--help", "--all"]):
        subprocess.run([sys.executable, "-c", code, *words], check=True, stdout=subprocess.DEVNULL)
