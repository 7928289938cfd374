"""Runs on the Hugging Face Hub, through huggingface_hub's own client and a stand-in for the Hub (`hub_server`)."""

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import yaml
from huggingface_hub import constants

import promptmlr as pm
from hub_server import TOKEN, Hub, serving
from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.hub import HubName, hub_name
from promptmlr.run.folder import ON_HUB


@pytest.fixture
def hub(monkeypatch, tmp_path: Path) -> Iterator[Hub]:
    with serving() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", found.address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield found


@pytest.fixture
def run(run_folders: list[Path], photos: Path) -> Path:
    """A run of all drawn classes beside labels.csv and photos/."""
    return Path(shutil.copytree(run_folders[0], photos / "run"))


def test_pushed_and_used_from_the_hub(promptmlr, hub: Hub, run: Path, tmp_path: Path) -> None:
    pushed = promptmlr("push", run, "ann/shop-tags", "--private")
    assert pushed.code == 0, pushed.err
    assert "hf://ann/shop-tags" in pushed.err
    assert hub.private == {"ann/shop-tags": True}
    files = hub.files["ann/shop-tags"]
    assert {"README.md", "config.json", "weights.safetensors", "metrics.json", "evaluation.json"} <= files.keys()
    assert files.keys() <= set(ON_HUB)
    assert str(tmp_path).encode() not in b"".join(files.values())

    card = files["README.md"].decode()
    front = yaml.safe_load(card.split("---")[1])
    assert front["library_name"] == "promptmlr"
    score = json.loads((run / "evaluation.json").read_text())["mean_ap"]
    assert front["model-index"][0]["results"][0]["metrics"][0]["value"] == pytest.approx(score, abs=1e-4)
    assert "hf://ann/shop-tags" in card

    files["evil.py"] = b"raise SystemExit"
    files["mask.npy"] = pickle.dumps("no")
    photos = sorted((tmp_path / "photos").glob("0*.png"))
    wanted = pm.load_run(run).predict(photos)
    commit = hub.commit("ann/shop-tags")
    for name in ("hf://ann/shop-tags", f"hf://ann/shop-tags@{commit}", Path("hf://ann/shop-tags@main")):
        loaded = pm.load_run(name)
        assert np.array_equal(loaded.predict(photos), wanted)
        assert {path.name for path in loaded.path.iterdir()} <= set(ON_HUB)
    assert not [line for line in hub.requests if "evil.py" in line or "mask.npy" in line]

    out = tmp_path / "p.csv"
    for verb in (
        ("predict", "hf://ann/shop-tags", tmp_path / "photos", "--out", out, "--workers", "0"),
        ("explain", "hf://ann/shop-tags", photos[0], "--out", tmp_path / "maps.png"),
        ("evaluate", "hf://ann/shop-tags", tmp_path / "labels.csv", "--out", tmp_path / "there.json", "--no-cache"),
        ("evaluate", run, tmp_path / "labels.csv", "--out", tmp_path / "here.json", "--no-cache"),
    ):
        done = promptmlr(*verb)
        assert done.code == 0, done.err
    assert (tmp_path / "there.json").read_text() == (tmp_path / "here.json").read_text()


@pytest.mark.parametrize(
    ("repository", "token", "code", "complaint"),
    [
        ("ann/shop-tags", None, 2, "hf auth login"),
        ("ann/shop-tags", "hf_wrong", 2, "refuses the token (401"),
        ("stranger/shop-tags", TOKEN, 2, "refuses the token (403"),
        ("shop-tags", TOKEN, 2, "write owner/name"),
        ("ann/shop--tags.git", TOKEN, 2, "write owner/name"),
    ],
)
def test_what_keeps_from_pushing_is_one_line(
    promptmlr, hub: Hub, run: Path, monkeypatch, repository: str, token: str | None, code: int, complaint: str
) -> None:
    monkeypatch.delenv("HF_TOKEN") if token is None else monkeypatch.setenv("HF_TOKEN", token)
    done = promptmlr("push", run, repository)
    assert (done.code, done.err.count("\n")) == (code, 1), done.err
    assert complaint in done.err
    assert not hub.files


def test_what_keeps_from_loading_is_one_line(hub: Hub, monkeypatch) -> None:
    hub.files["ann/here"], hub.private["ann/here"] = {"config.json": b"{}"}, False
    with pytest.raises(UserError, match="no such repository"):
        pm.load_run("hf://ann/nowhere")
    with pytest.raises(UserError, match="no revision 'v2'"):
        pm.load_run("hf://ann/here@v2")
    with pytest.raises(UserError, match="no whole run folder"):
        pm.load_run("hf://ann/here")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(EnvironmentFault, match="cannot be reached"):
        pm.load_run("hf://ann/elsewhere")


def test_names_of_the_hub() -> None:
    assert hub_name("hf://ann/shop@refs/pr/1") == HubName("ann/shop", "refs/pr/1")
    assert hub_name(Path("hf://ann/shop")) == HubName("ann/shop")
    assert hub_name("runs/hf") is None
    for wrong in ("hf://", "hf://ann", "hf://ann/shop/more", "hf://../..", "hf://ann/shop?x"):
        with pytest.raises(UserError, match="owner/name"):
            hub_name(wrong)


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.mkdir, (self.folder,))


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "config.json", "metrics.json", "evaluation.json", "calibration.json", "mask.npy"]
)
def test_nothing_in_a_run_is_run_as_code(promptmlr, run: Path, tmp_path: Path, name: str) -> None:
    trap = tmp_path / "sprung"
    if name == "mask.npy":
        np.save(run / name, np.array([Evil(trap)], dtype=object), allow_pickle=True)
    else:
        (run / name).write_bytes(pickle.dumps(Evil(trap)))
    for verb in (
        ("predict", run, tmp_path / "photos", "--out", tmp_path / "p.csv", "--overwrite", "--workers", "0"),
        ("export", run, "--to", "hub", "--out", tmp_path / "folder"),
        ("runs", tmp_path),
    ):
        done = promptmlr(*verb)
        assert "Traceback" not in done.err
        shutil.rmtree(tmp_path / "folder", ignore_errors=True)
    assert not trap.exists()
    pickle.loads(pickle.dumps(Evil(trap)))
    assert trap.exists()


def test_the_client_is_the_real_one() -> None:
    assert huggingface_hub.snapshot_download.__module__.startswith("huggingface_hub")
