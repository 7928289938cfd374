"""What two processes, a kill, a full disk or an edited table may do to a run: never a wrong one."""

import errno
import json
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from promptmlr.backbone import precision
from promptmlr.errors import EnvironmentFault
from promptmlr.run import FILES, folder
from support import interrupt_after

SMALL = ("--backbone", "scenes", "--epochs", "3", "--workers", "0", "--no-cache")


@pytest.fixture(scope="module")
def stopped_once(promptmlr, drawn: Path, tmp_path_factory) -> Path:
    """What is left of a run on `drawn` that was interrupted in its third epoch."""
    run = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(drawn)
        interrupt_after(2, patch)
        done = promptmlr("train", "labels.csv", "--out", run, *SMALL)
    assert done.code == 130
    assert "--resume" in done.err
    assert done.err.splitlines()[-1] == "interrupted"
    return run.with_name("run.partial")


@pytest.fixture
def stopped(stopped_once: Path, photos: Path, monkeypatch) -> Path:
    """The folder that a run on `photos`, the current folder, will be; it was interrupted in its third epoch."""
    monkeypatch.chdir(photos)
    shutil.copytree(stopped_once, photos / "run.partial")
    shutil.copy(stopped_once.with_name("run.partial.lock"), photos)
    return photos / "run"


def resume(promptmlr, run: Path, *more: object):
    return promptmlr("train", "labels.csv", "--out", run, *SMALL, "--resume", *more)


def epochs(run: Path) -> list[int]:
    return [json.loads(line)["epoch"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_one_process_at_a_time(promptmlr, stopped: Path) -> None:
    with FileLock(stopped.parent / "run.partial.lock"):
        refused = resume(promptmlr, stopped)
    assert refused.code == 2
    assert "another process" in refused.err
    assert "run.partial.lock is held by process" in refused.err
    assert resume(promptmlr, stopped).code == 0


def test_nothing_of_the_unfinished_run_stays(promptmlr, stopped: Path) -> None:
    (stopped.parent / "run.partial" / ".state.safetensors.abc.tmp").write_bytes(b"cut short")
    assert resume(promptmlr, stopped).code == 0
    assert {path.name for path in stopped.iterdir()} == set(FILES)
    assert not list(stopped.parent.glob("run.partial*"))


def test_nothing_in_the_folder_is_open_when_it_gets_its_name(promptmlr, stopped: Path, monkeypatch) -> None:
    """Windows would not rename it."""
    rename, renamed = Path.rename, []

    def checked(self: Path, target: Path) -> Path:
        opened = [Path(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]  # noqa: PTH208
        inside = [file.readlink() for file in opened if file.is_symlink() and self in file.readlink().parents]
        assert not inside
        renamed.append(self)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", checked)
    assert resume(promptmlr, stopped).code == 0
    assert stopped.parent / "run.partial" in renamed


def test_a_run_in_the_layout_of_a_version_before_is_gone_on_with(promptmlr, stopped: Path) -> None:
    """Its lock lay inside."""
    (stopped.parent / "run.partial.lock").unlink()
    (stopped.parent / "run.partial" / "lock").touch()
    assert resume(promptmlr, stopped).code == 0
    assert {path.name for path in stopped.iterdir()} == set(FILES)


def test_a_resumed_run_keeps_the_dtypes_it_began_with(promptmlr, photos: Path, monkeypatch) -> None:
    """Whatever the machine of the second part thinks fast."""
    monkeypatch.chdir(photos)
    with monkeypatch.context() as patch:
        patch.setattr(precision, "has_fast_bfloat16", lambda _: True)
        interrupt_after(2, patch)
        assert promptmlr("train", "labels.csv", "--out", photos / "run", *SMALL).code == 130
    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda _: False)
    asked = resume(promptmlr, photos / "run", "--dtype", "float32")
    assert asked.code == 2
    assert "backbone.text_dtype: bfloat16, now float32" in asked.err
    done = resume(promptmlr, photos / "run")
    assert done.code == 0, done.err
    assert json.loads((photos / "run" / "config.json").read_text())["backbone"]["text_dtype"] == "bfloat16"


def test_a_run_of_a_version_before_is_gone_on_with_though_it_wrote_less_down(promptmlr, stopped: Path) -> None:
    path = stopped.parent / "run.partial" / "config.json"
    config = json.loads(path.read_text())
    assert config["backbone"].pop("activation")
    assert config["backbone"].pop("text_activation")
    assert config["data"].pop("reading")
    path.write_text(json.dumps(config))
    other = resume(promptmlr, stopped, "--order-seed", "5")
    assert (other.code, "order_seed: 0, now 5" in other.err) == (2, True)
    done = resume(promptmlr, stopped)
    assert done.code == 0, done.err


@pytest.mark.parametrize("lost", ["metrics.jsonl", "mask.npy"])
def test_what_a_kill_may_have_taken_is_written_again(promptmlr, stopped: Path, lost: str) -> None:
    (stopped.parent / "run.partial" / lost).unlink()
    assert resume(promptmlr, stopped).code == 0
    assert epochs(stopped) == [1, 2, 3]
    assert np.load(stopped / "mask.npy").shape == (32, 5)


def test_changed_labels_and_settings_are_named(promptmlr, stopped: Path) -> None:
    other = resume(promptmlr, stopped, "--batch-size", "7")
    assert other.code == 2
    assert "recipe.batch_size: 128, now 7" in other.err
    table = stopped.parent / "labels.csv"
    lines = table.read_text().splitlines()
    index = next(i for i, line in enumerate(lines) if ",train," in line and line.endswith((",1", ",0")))
    lines[index] = lines[index][:-1] + str(1 - int(lines[index][-1]))
    table.write_text("\n".join(lines) + "\n")
    changed = resume(promptmlr, stopped)
    assert changed.code == 2
    assert "data.labels_sha256" in changed.err


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "number"])
def test_a_damaged_state_is_refused(promptmlr, stopped: Path, damage: str) -> None:
    state = stopped.parent / "run.partial" / "state.safetensors"
    content = state.read_bytes()
    if damage == "foreign":
        shutil.copy(Path(folder.__file__).parents[1] / "backbone" / "scenes.safetensors", state)
    elif damage == "number":
        state.write_bytes(content[:-4] + struct.pack("<f", -1e38))
    else:
        state.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    refused = resume(promptmlr, stopped)
    assert refused.code == 2
    partial = state.parent
    assert f"{state} is damaged; remove {partial} and train again" in refused.err.splitlines()[-1]
    assert state.exists()


def test_a_disk_that_is_full_at_once_leaves_nothing(promptmlr, photos: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise EnvironmentFault(f"cannot write: {errno.errorcode[errno.ENOSPC]}")

    monkeypatch.setattr(folder, "write_text", full)
    done = promptmlr("train", photos / "labels.csv", "--out", photos / "run", *SMALL)
    assert done.code == 1
    assert not (photos / "run.partial").exists()


def test_divergence_is_said_and_is_no_run(promptmlr, photos: Path) -> None:
    (photos / "wild.toml").write_text(
        '[shared]\nstart = "text"\noffset = "none"\ncontext_length = 4\noptimizer = "sgd"\ncontext_rate = 1e30\n'
        "embedding_rate = 1e30\nlinear_rate = 1e30\nloss_weight = 1e20\nbatch_size = 32\nepochs = 3\n"
    )
    options = ("--backbone", "scenes", "--workers", "0", "--method", "baseline", "--recipe", photos / "wild.toml")
    done = promptmlr("train", photos / "labels.csv", "--out", photos / "run", *options)
    assert done.code == 2, done.err
    assert "diverged" in done.err
    assert not (photos / "run").exists()
