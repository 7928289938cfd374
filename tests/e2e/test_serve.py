"""`promptmlr serve` as a process: how it starts, says where it is, and ends."""

import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest


@pytest.fixture
def run(run_folders: list[Path], photos: Path) -> Path:
    """A run of all drawn classes beside labels.csv and photos/."""
    return Path(shutil.copytree(run_folders[0], photos / "run"))


@pytest.fixture
def started(run: Path) -> Iterator[subprocess.Popen[str]]:
    table = run.parent / "labels.csv"
    command = [sys.executable, "-m", "promptmlr", "serve", run, "--label", table, "--port", "0", "--no-cache"]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def read_until(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"{pattern} was not said")


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_from_start_to_end(started: subprocess.Popen[str], run: Path, end: signal.Signals) -> None:
    address = read_until(started, r"http://127\.0\.0\.1:\d+/")[0]
    cells = int(read_until(started, r"the queue asks about ([\d,]+) cells")[1].replace(",", ""))
    assert httpx.get(f"{address}health").json()["status"] == "ready"
    image = run.parent / "photos" / "00.png"
    answer = httpx.post(f"{address}predict", files={"images": image.read_bytes()})
    assert len(answer.json()["images"][0]["probabilities"]) == 20
    who = {"who": "somebody"}
    queue = httpx.post(f"{address}label", json={**who, "mode": "single"}).json()
    assert queue["left"] == cells
    given = {**who, "page": queue["pages"][0]["id"], "answers": ["absent"]}
    httpx.post(f"{address}label/answers", json=given)
    started.send_signal(end)
    out, err = started.communicate(timeout=20)
    assert out == ""
    assert "Traceback" not in err
    if end == signal.SIGINT:
        assert started.returncode == 0
        assert err.splitlines()[-2] == f"1 answer written to {run.parent / 'labels.csv'}"
        assert err.splitlines()[-1] == "stopped"
    before = (run.parent / "labels.csv").read_text()
    assert before.count(",0") >= 1
    assert (run.parent / "labels.csv.answers.jsonl").read_text().count("\n") == 2


def test_a_port_that_is_taken_is_one_line(promptmlr, run: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = promptmlr("serve", run, "--port", port)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"port {port} of 127.0.0.1: it is in use" in done.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["{run}", "{run}", "{run}"], "3 runs"),
        (["{folder}/none"], "no run folder"),
        (["{run}", "--host", "no such host"], "no such address"),
        ([], "nothing to serve"),
        (["{run}", "--queue", "{folder}/q.csv"], "--queue belongs to --label"),
        (["{run}", "--classes", "dog"], "--classes belongs to --label"),
        (["{run}", "--label", "{folder}/labels.csv", "--classes", "gnome"], "gnome"),
        (["{run}", "--label", "{folder}/labels.csv", "--random-share", "-1"], "--random-share"),
        (["{run}", "--label", "{folder}/none.csv"], "no such file or folder: {folder}/none.csv"),
        (["{run}", "--label", "{folder}/photos/00.png"], "00.png"),
        (["{run}", "--label", "{folder}/labels.csv", "--queue", "{folder}/none.csv"], "cannot read"),
        (["{run}", "--label", "{folder}/labels.csv", "--journal", "{folder}/no/journal"], "--journal"),
        (
            ["{run}", "--label", "{folder}/labels.csv", "--images", "{run}"],
            "none of the 32 images to ask",
        ),
        (["{run}", "--concurrency", "0"], "--concurrency 0: it must be greater than 0"),
        (["{run}", "--timeout", "-1"], "--timeout -1"),
        (["{run}", "--max-megabytes", "nan"], "--max-megabytes nan"),
    ],
)
def test_mistakes_are_one_line(promptmlr, run: Path, arguments: list[str], complaint: str) -> None:
    done = promptmlr("serve", *(part.format(run=run, folder=run.parent) for part in arguments), "--port", "0")
    assert done.code in (1, 2), done.err
    assert done.err.count("\n") == 1
    assert complaint.format(folder=run.parent) in done.err


def test_a_wrong_backbone_ends_the_service_with_one_line(promptmlr, run: Path, parity_checkpoint: Path) -> None:
    done = promptmlr("serve", run, "--port", "0", "--backbone", parity_checkpoint)
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("error: ")


def test_other_addresses_are_warned_of(promptmlr, run: Path, parity_checkpoint: Path) -> None:
    done = promptmlr("serve", run, "--port", "0", "--host", "0.0.0.0", "--backbone", parity_checkpoint)
    assert "there is no password" in done.err


def test_a_missing_extra_is_named(promptmlr, run: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    done = promptmlr("serve", run)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "pip install 'promptmlr[web]'" in done.err
