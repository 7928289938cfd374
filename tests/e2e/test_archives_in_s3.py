"""Archives in an object store: a server of moto on this machine, reached as any other."""

from pathlib import Path

import fsspec
import pyarrow.parquet as pq

from archive_support import drawn_files, write_shards, write_tar
from promptmlr import remote as storage
from s3_support import bucket as bucket
from s3_support import forget
from s3_support import server as server


def put(folder: Path) -> None:
    fsspec.filesystem("s3").put([str(path) for path in sorted(folder.glob("*.tar"))], "photos/tars/")


def rows(paths) -> list[dict]:
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def refused(done, code: int, *words: str) -> None:
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err.strip().splitlines()[-1]


def test_shards_come_from_a_bucket_and_rows_go_to_one(promptmlr, trained, bucket, tmp_path) -> None:
    write_shards(tmp_path, 3, 4)
    put(tmp_path)
    assert promptmlr("predict", trained, tmp_path / "*.tar", "--out", tmp_path / "here").code == 0
    for named in ("s3://photos/tars/{00000..00002}.tar", "s3://photos/tars/*.tar", "s3://photos/tars"):
        forget()
        command = ("predict", trained, named, "--out", "s3://photos/out")
        done = promptmlr(*command)
        assert done.code == 0, done.err
        assert "3 shards finished" in done.err
    system = fsspec.filesystem("s3")
    system.get("photos/out/", str(tmp_path / "there"), recursive=True)
    assert rows(sorted((tmp_path / "there").glob("*.parquet"))) == rows(sorted((tmp_path / "here").glob("*.parquet")))
    write_tar(tmp_path / "00001.tar", drawn_files(40, 4))
    put(tmp_path)
    forget()
    assert "3 shards finished, 2 of them before" in promptmlr(*command).err


def test_a_bucket_that_does_not_exist(promptmlr, trained, bucket, tmp_path) -> None:
    for source in ("s3://nobody/{0..9}.tar", "s3://nobody/*.tar", "s3://nobody/folder"):
        done = promptmlr("predict", trained, source, "--out", tmp_path / "out")
        refused(done, 2, "there is no bucket 'nobody'")
        assert len(done.err.splitlines()) == 1
    write_shards(tmp_path, 1, 2)
    refused(promptmlr("predict", trained, tmp_path / "*.tar", "--out", "s3://nobody/out"), 2, "no bucket 'nobody'")


def test_a_shard_that_is_missing(promptmlr, trained, bucket, tmp_path) -> None:
    write_shards(tmp_path, 2, 2)
    put(tmp_path)
    done = promptmlr("predict", trained, "s3://photos/tars/{00000..00002}.tar", "--out", tmp_path / "out")
    refused(done, 2, "1 shard could not be processed", "00002.tar: no such file")
    assert len(rows((tmp_path / "out").glob("*.parquet"))) == 4


def test_credentials_that_are_refused(promptmlr, trained, bucket, tmp_path) -> None:
    write_shards(tmp_path, 1, 2)
    put(tmp_path)
    bucket("reset-auth", "0")
    for named in ("s3://photos/tars/{00000..00002}.tar", "s3://photos/tars/*.tar"):
        forget()
        done = promptmlr("predict", trained, named, "--out", tmp_path / "out")
        refused(done, 2, "access is refused", "credentials")
        assert len(done.err.splitlines()) == 1


def test_a_connection_that_breaks_is_taken_up_again(bucket, tmp_path, monkeypatch) -> None:
    content = bytes(range(256)) * 80_000
    (tmp_path / "some.tar").write_bytes(content)
    put(tmp_path)
    slept, failures = [], iter([False, True, True, False, True] + [False] * 100)
    monkeypatch.setattr(storage.time, "sleep", slept.append)
    from s3fs.core import S3File

    read = S3File._fetch_range

    def breaking(self, start: int, end: int) -> bytes:
        if next(failures):
            raise ConnectionResetError("connection lost")
        return read(self, start, end)

    monkeypatch.setattr(S3File, "_fetch_range", breaking)
    with storage.opened("s3://photos/tars/some.tar") as file:
        assert file.read() == content
    assert slept == [0.5, 1.0, 0.5]


def test_a_server_that_stays_away_is_a_line(promptmlr, trained, bucket, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(storage, "WAITS", (0.01, 0.01))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    import s3fs.core

    monkeypatch.setattr(s3fs.core, "S3_RETRYABLE_ERRORS", ())
    forget()
    done = promptmlr("predict", trained, "s3://photos/tars/00000.tar", "--out", tmp_path / "out")
    refused(done, 1, "s3://photos/tars/00000.tar", "repeat the command")
