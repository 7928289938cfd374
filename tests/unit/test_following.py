"""Followers: what they hear, in which order, and TensorBoard through its own reader."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from promptmlr.errors import UserError
from promptmlr.following import Follower, TensorBoard, follower
from promptmlr.reporting import Progress, Reporter
from promptmlr.run import RunConfig, RunInProgress
from promptmlr.training import EpochReport
from support import StopAfter, csv_rows, scenes_run


class Diary(Follower):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_start(self, folder: Path, config: RunConfig, earlier: Sequence[EpochReport]) -> None:
        assert (folder / "config.json").is_file()
        self.heard.append((config.method, [report.epoch for report in earlier]))

    def on_epoch(self, report: EpochReport) -> None:
        self.heard.append(report)

    def on_end(self, metrics: Mapping[str, Any]) -> None:
        self.heard.append(metrics["learned_parameters"])

    def close(self) -> None:
        self.heard.append("closed")


def test_a_follower_hears_of_everything_in_order(scenes_backbone, tmp_path: Path) -> None:
    diary = Diary()
    run = scenes_run(tmp_path / "run", epochs=3, backbone=scenes_backbone, followers=[diary])
    start, *reports, learned, closed = diary.heard
    assert (start, closed) == (("dualembedding", []), "closed")
    assert learned == json.loads((run / "metrics.json").read_text())["learned_parameters"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [report.loss for report in reports] == [line["loss"] for line in lines]
    assert set(reports[0].rates) == {"presence.embedding", "absence.embedding"}
    assert reports[1].rates["presence.embedding"] > reports[2].rates["presence.embedding"] > 0


def test_the_table_of_epochs_says_what_the_lines_say(scenes_backbone, tmp_path: Path) -> None:
    run = scenes_run(tmp_path / "run", epochs=2, backbone=scenes_backbone)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows = csv_rows(run / "metrics.csv")
    assert len(rows) == len(lines) == 2
    for row, line in zip(rows, lines, strict=True):
        assert [float(row[key]) for key in ("epoch", "epochs", "loss")] == [line["epoch"], 2, line["loss"]]
        assert float(row["rate presence.embedding"]) == line["rates"]["presence.embedding"]


def test_a_follower_that_fails_loses_no_epoch(scenes_backbone, tmp_path: Path) -> None:
    class Tired(Diary):
        def on_epoch(self, report: EpochReport) -> None:
            super().on_epoch(report)
            if report.epoch == 2:
                raise ConnectionError

    tired, fresh = Tired(), Diary()
    with pytest.raises(ConnectionError):
        scenes_run(tmp_path / "run", epochs=3, backbone=scenes_backbone, followers=[tired])
    assert tired.heard[-1] == "closed"
    scenes_run(tmp_path / "run", epochs=3, backbone=scenes_backbone, followers=[fresh], resume=True)
    assert fresh.heard[0] == ("dualembedding", [1, 2])
    assert [entry.epoch for entry in fresh.heard if isinstance(entry, EpochReport)] == [3]


@pytest.mark.parametrize("stopped", ["after its line was saved", "before its line was saved"])
def test_tensorboard_has_every_step_once_after_an_interruption(
    scenes_backbone, tmp_path: Path, monkeypatch, stopped: str
) -> None:
    def interrupt(self: Any, *arguments: Any) -> None:
        report = arguments[0]
        epoch = report["epoch"] if isinstance(report, dict) else report.epoch
        if epoch == 2:
            raise KeyboardInterrupt
        original(self, *arguments)

    where = (TensorBoard, "on_epoch") if stopped.startswith("after") else (RunInProgress, "add")
    original = getattr(*where)
    with monkeypatch.context() as patch:
        patch.setattr(*where, interrupt)
        with pytest.raises(KeyboardInterrupt):
            scenes_run(tmp_path / "run", epochs=4, backbone=scenes_backbone, followers=[TensorBoard()], select="val")
    resumed = {"backbone": scenes_backbone, "followers": [TensorBoard()], "resume": True, "select": "val"}
    run = scenes_run(tmp_path / "run", epochs=4, **resumed)

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for tag, key in (("loss", "loss"), ("selection mAP", "score"), ("seconds per epoch", "seconds")):
        assert [event.step for event in events.Scalars(tag)] == [1, 2, 3, 4]
        assert [event.value for event in events.Scalars(tag)] == pytest.approx([line[key] for line in lines], rel=1e-5)
    rates = [event.value for event in events.Scalars("rate/presence.embedding")]
    assert rates == pytest.approx([line["rates"]["presence.embedding"] for line in lines], rel=1e-5)
    times = [event.wall_time for event in events.Scalars("loss")]
    assert times == sorted(times)
    assert {"config/text_summary", "metrics/text_summary"} <= set(events.Tags()["tensors"])


def test_the_time_left_of_a_resumed_run_is_that_of_what_is_left(scenes_backbone, tmp_path: Path) -> None:
    said: list[tuple[int, int]] = []

    class Says(Reporter):
        def progress(self, label: str) -> AbstractContextManager[Progress]:
            return nullcontext(heard if re.fullmatch(r"epochs( after \d+)?", label) else (lambda *_: None))

    def heard(done: int, total: int) -> None:
        said.append((done, total))

    options = {"epochs": 5, "backbone": scenes_backbone, "reporter": Says()}
    with pytest.raises(KeyboardInterrupt):
        scenes_run(tmp_path / "run", followers=[StopAfter(3)], **options)
    assert said == [(1, 5), (2, 5)]
    scenes_run(tmp_path / "run", resume=True, **options)
    assert said[2:] == [(1, 2), (2, 2)]


def test_names_of_followers_and_a_missing_extra(monkeypatch) -> None:
    with pytest.raises(UserError, match="did you mean 'tensorboard'"):
        follower("tensorbord")
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"pip install 'promptmlr\[tensorboard\]'"):
        follower("tensorboard")
