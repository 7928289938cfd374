"""What goes to the Hub: nothing of this machine, a card that reads, a folder whole or not at all."""

import json
from pathlib import Path

import pytest
import yaml

from promptmlr.errors import UserError
from promptmlr.export.hub_folder import public_config, write_hub_folder
from promptmlr.run import load_run
from support import scenes_run


@pytest.fixture(scope="module")
def run(scenes_backbone, tmp_path_factory) -> Path:
    return scenes_run(tmp_path_factory.mktemp("trained") / "run", "positivecoop", backbone=scenes_backbone)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("CSV /home/ann/photos/labels.csv, split train", "CSV labels.csv, split train"),
        ("COCO /data/coco 2014/, split train2014", "COCO coco 2014/, split train2014"),
        ("CSV /home/Ann Lee/my photos/labels.csv, split train", "CSV labels.csv, split train"),
        ("CSV ../ann/labels.csv", "CSV labels.csv"),
        ("CSV ~/ann/labels.csv", "CSV labels.csv"),
        (r"CSV C:\Users\ann\labels.csv", "CSV labels.csv"),
        ("drawn scenes, split train (seed 1)", "drawn scenes, split train (seed 1)"),
        ("scenes:crowded:1", "scenes:crowded:1"),
    ],
)
def test_paths_are_cut_down_to_their_last_part(run: Path, source: str, shown: str) -> None:
    config = load_run(run).config
    config = config.model_copy(update={"data": config.data.model_copy(update={"source": source})})
    assert public_config(config).data.source == shown


@pytest.mark.parametrize(
    ("name", "pretrained", "shown", "said"),
    [
        ("/home/ann/clip.safetensors", None, ("clip.safetensors", None), "`--backbone FILE`"),
        ("ViT-B-32", "/home/ann/vit.pt", ("ViT-B-32", "vit.pt"), "`--pretrained FILE`"),
        ("ViT-B-32", "openai", ("ViT-B-32", "openai"), "downloaded through open_clip"),
        ("scenes", None, ("scenes", None), "comes with promptmlr"),
    ],
)
def test_a_checkpoint_of_ones_own_is_named_without_its_folder(
    run: Path, tmp_path: Path, name: str, pretrained: str | None, shown: tuple[str, str | None], said: str
) -> None:
    loaded = load_run(run)
    backbone = loaded.config.backbone.model_copy(update={"name": name, "pretrained": pretrained})
    loaded.config = loaded.config.model_copy(update={"backbone": backbone})
    folder = write_hub_folder(loaded, tmp_path / "folder")
    record = json.loads((folder / "config.json").read_text())["backbone"]
    assert (record["name"], record["pretrained"]) == shown
    card = (folder / "README.md").read_text()
    assert said in card
    assert "/home/ann" not in card


def test_the_card_says_what_the_run_is(run: Path, tmp_path: Path) -> None:
    loaded = load_run(run)
    names = ("a|b", "<script>alert(1)</script>", 'quoted "name": x', *loaded.class_names[3:])
    data = loaded.config.data.model_copy(update={"source": "two\nlines"})
    loaded.config = loaded.config.model_copy(update={"class_names": names, "data": data})
    card = (write_hub_folder(loaded, tmp_path / "folder", "ann/tags") / "README.md").read_text()
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front)["model-index"][0]["name"] == "tags"
    evaluation = json.loads((run / "evaluation.json").read_text())
    low, high = evaluation["mean_ap_interval"]
    assert f"{100 * evaluation['mean_ap']:.1f} ({100 * low:.1f} to {100 * high:.1f})" in body
    for part in ("positivecoop", "known labels", "arXiv:2409.08381", "not missing at random", "hf://ann/tags"):
        assert part in body
    rows = [line for line in body.splitlines() if line.count(" | ") == 2 and line.endswith(" |")]
    assert len(rows) == 1 + 1 + len(names)
    assert r"a\|b" in body
    assert "| two lines: " in body
    assert "<script>" not in body
    assert f"{loaded.thresholds[0]:.3f}" in body
    assert "fitted on observed labels, each out of fold." in body


@pytest.mark.parametrize(
    ("basis", "said"),
    [
        ("held out", "on held-out"),
        ("out of fold", "each out of fold."),
        ("prior", "no label checked them."),
        (None, "Nothing"),
    ],
)
def test_the_card_says_what_thresholds_stand_on(run: Path, tmp_path: Path, basis: str | None, said: str) -> None:
    loaded = load_run(run)
    loaded.calibration = None if basis is None else loaded.calibration.model_copy(update={"basis": basis})
    assert said in (write_hub_folder(loaded, tmp_path / "folder") / "README.md").read_text()


def test_a_run_that_was_not_evaluated_says_so(run: Path, tmp_path: Path) -> None:
    kept = (run / "evaluation.json").read_bytes()
    (run / "evaluation.json").unlink()
    try:
        card = (write_hub_folder(load_run(run), tmp_path / "folder") / "README.md").read_text()
    finally:
        (run / "evaluation.json").write_bytes(kept)
    assert "None were measured" in card
    assert "results" not in yaml.safe_load(card.split("---\n")[1]).get("model-index", [{}])[0]


def test_a_folder_is_whole_or_is_not(run: Path, tmp_path: Path, monkeypatch) -> None:
    loaded = load_run(run)
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match="exists already"):
        write_hub_folder(loaded, tmp_path / "there")
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_hub_folder(loaded, tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there"]
