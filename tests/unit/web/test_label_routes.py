"""The queue over HTTP."""

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image

from promptmlr.web import label_routes
from promptmlr.web.labelling import LabelQueue
from support import Heard
from web_support import queue_of, scene_png

WHO = {"who": "somebody"}


@pytest.fixture
def queue(tmp_path: Path) -> LabelQueue:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(scene_png(0, 2000))
    (tmp_path / "photos" / "b.png").write_bytes(b"no image")
    table = tmp_path / "labels.csv"
    table.write_text("image,tree,cat\nphotos/a.png,,\nphotos/b.png,,\nphotos/gone.png,,\n")
    names = ("photos/a.png", "photos/b.png", "photos/gone.png")
    listed = [(name, "tree", 0.5) for name in names]
    return queue_of(table, listed, journal=tmp_path / "journal.jsonl", reporter=Heard())


def first_page(client: httpx.Client, **asking) -> dict:
    return client.post("/label", json={**WHO, "mode": "single", **asking}).json()["pages"][0]


def test_a_page_its_pictures_and_its_answers(serving, queue: LabelQueue) -> None:
    client = serving(queue=queue).client
    standing = client.post("/label", json={**WHO, "mode": "single"}).json()
    page, following = standing["pages"]
    assert page["cells"] == [
        {
            "image": "a.png",
            "picture": f"{queue.token}-0",
            "row": 2,
            "class": "tree",
            "probability": 0.5,
            "random": False,
            "proposed": "absent",
        }
    ]
    assert (standing["state"], standing["left"], page["mode"]) == ("ready", 3, "single")
    for size, side in (("large", 1280), ("small", 480)):
        picture = client.get(f"/label/pictures/{page['cells'][0]['picture']}", params={"size": size})
        assert picture.headers["content-type"] == "image/jpeg"
        assert Image.open(io.BytesIO(picture.content)).size == (side, side)
    done = client.post("/label/answers", json={**WHO, "page": page["id"], "answers": ["present"]}).json()
    assert (done["result"], done["queue"]["answered"], done["queue"]["pages"][0]) == ("written", 1, following)
    assert queue.keeper.file.path.read_text().splitlines()[1] == "photos/a.png,1,"
    undone = client.post("/label/undo", json=WHO).json()
    assert (undone["result"], undone["queue"]["pages"][0]["cells"][0]["proposed"]) == ("undone", "present")
    assert queue.keeper.file.path.read_text().splitlines()[1] == "photos/a.png,,"
    assert client.post("/label/write", json=WHO).json()["result"] == "written"
    metrics = client.get("/metrics").text
    assert 'promptmlr_labels_total{result="undone"} 1.0' in metrics


def test_a_grid_counts_cells(serving, queue: LabelQueue) -> None:
    client = serving(queue=queue).client
    page = first_page(client, mode="grid", **{"class": "tree"})
    assert [cell["image"] for cell in page["cells"]] == ["a.png", "b.png", "gone.png"]
    given = {**WHO, "page": page["id"], "answers": ["present", "skip", "absent"]}
    assert client.post("/label/answers", json=given).json()["message"] == (
        "tree in 3 images: 1 present, 1 absent, 1 skipped"
    )
    metrics = client.get("/metrics").text
    assert 'promptmlr_labels_total{result="written"} 2.0' in metrics
    assert 'promptmlr_labels_total{result="skipped"} 1.0' in metrics


def test_refusals(serving, queue: LabelQueue) -> None:
    client = serving(queue=queue).client
    page = first_page(client)
    one = {**WHO, "page": page["id"], "answers": ["present"]}
    foreign = {"headers": {"Origin": "http://evil.example"}}
    for path, options, status in (
        ("/label/answers", {"json": one | {"page": f"{queue.token}-9"}}, 404),
        ("/label/answers", {"json": one | {"who": "somebody-else"}}, 404),
        ("/label/answers", {"json": one | {"answers": ["maybe"]}}, 400),
        ("/label/answers", {"json": one | {"answers": []}}, 404),
        ("/label/answers", {"json": one | {"answers": ["absent"] * 25}}, 400),
        ("/label/answers", {"json": one | {"page": 0}}, 400),
        ("/label/answers", {"json": one | {"page": "0"}}, 404),
        ("/label/answers", {"json": one | {"page": "x" * 65}}, 400),
        ("/label/answers", {"json": one | {"page": "another-0"}}, 409),
        ("/label/answers", {"json": one | {"who": "me"}}, 400),
        ("/label/answers", {"json": one | {"who": "../../etc/passwd"}}, 400),
        ("/label/answers", {"json": one | {"who": "somebody\n"}}, 400),
        ("/label/answers", {"json": one | {"who": "a" * 65}}, 400),
        ("/label/answers", {"json": {"page": page["id"], "answers": ["present"]}}, 400),
        ("/label/answers", {"json": one, "headers": {"Origin": "http://[::1"}}, 403),
        ("/label/answers", {"content": b"{"}, 400),
        ("/label/answers", {"data": one}, 400),
        ("/label", {"json": WHO | {"mode": "all"}}, 400),
        ("/label", {"json": WHO | {"class": "unicorn"}}, 404),
        ("/label", {"json": WHO | {"class": "x" * 301}}, 400),
        ("/label", {"content": b'{"who": "somebody"}', "headers": {"Content-Type": "text/plain"}}, 400),
        ("/label", {"json": WHO, **foreign}, 403),
        ("/label/undo", {}, 400),
        ("/label/undo", {"content": b'{"who": "somebody"}', "headers": {"Content-Type": "text/plain"}}, 400),
        ("/label/answers", {"json": one, **foreign}, 403),
        ("/label/undo", {"json": WHO, **foreign}, 403),
        ("/label/write", {"json": WHO, **foreign}, 403),
        ("/label/answers", {"json": one, "headers": {"Host": "evil.example"}}, 421),
    ):
        answer = client.post(path, **options)
        assert answer.status_code == status, (path, options, answer.text)
        assert list(answer.json()) == ["error"]
    assert client.get("/label").status_code == 405
    for number, status in ((1, 404), (2, 404), (9, 404), (-1, 404), ("x", 404), ("0/../../labels.csv", 404)):
        answer = client.get(f"/label/pictures/{queue.token}-{number}")
        assert answer.status_code == status, (number, answer.text)
        assert str(queue.keeper.file.path.parent) not in answer.text
    assert client.get(f"/label/pictures/{queue.token}-0", params={"size": "9999"}).status_code == 400
    assert "b.png: not an image" in client.get(f"/label/pictures/{queue.token}-1").text
    assert client.get("/label/pictures/another-0").status_code == 409
    assert "photos/a.png,," in queue.keeper.file.path.read_text()
    queue.keeper.journal.path = queue.keeper.journal.path.parent / "no" / "journal"
    lost = client.post("/label/answers", json=one)
    assert lost.status_code == 507
    assert str(queue.keeper.journal.path.parent.parent) not in lost.text
    assert "photos/a.png,," in queue.keeper.file.path.read_text()


def test_pictures_wait_in_the_places_of_all_images(serving, queue: LabelQueue, monkeypatch) -> None:
    """However many are asked for, two are decoded at once and the rest of those with a place wait."""
    inside, most, lock = 0, 0, threading.Lock()

    def slow(image, side):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.3)
        with lock:
            inside -= 1
        return b""

    monkeypatch.setattr(label_routes, "_smaller", slow)
    client = serving(queue=queue, concurrency=4).client
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: client.get(f"/label/pictures/{queue.token}-0").status_code, range(12)))
    assert most == 2
    assert set(answers) == {200, 429}
    assert answers.count(200) >= 4
    assert client.get("/health").status_code == 200


def test_many_who_never_answer_hold_few_cells(serving, queue: LabelQueue) -> None:
    """A stranger who makes up names all day takes no memory, and keeps nobody from labelling for long."""
    client = serving(queue=queue).client
    for number in range(200):
        assert client.post("/label", json={"who": f"stranger-{number}", "mode": "single"}).status_code == 200
    assert len(queue._people) <= 64
    assert len(queue._leases.held()) <= 3
