"""The queue over HTTP."""

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from promptmlr.web import label_routes
from promptmlr.web.journal import Journal
from promptmlr.web.label_file import LabelFile
from promptmlr.web.labelling import LabelQueue
from promptmlr.web.suggestions import Cell
from support import Heard
from web_support import scene_png


@pytest.fixture
def queue(tmp_path: Path) -> LabelQueue:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(scene_png(0, 2000))
    (tmp_path / "photos" / "b.png").write_bytes(b"no image")
    table = tmp_path / "labels.csv"
    table.write_text("image,tree,cat\nphotos/a.png,,\nphotos/b.png,,\nphotos/gone.png,,\n")
    queue = LabelQueue(LabelFile(table), Journal(tmp_path / "journal.jsonl"), reporter=Heard())
    names = ("photos/a.png", "photos/b.png", "photos/gone.png")
    queue.offer([Cell(name, "tree", 0.5) for name in names])
    return queue


def test_a_question_its_picture_and_its_answer(serving, queue: LabelQueue) -> None:
    client = serving(queue=queue).client
    standing = client.get("/label").json()
    first, second = (f"{queue.token}-{number}" for number in range(2))
    assert standing["question"] == {"id": first, "image": "a.png", "row": 2, "class": "tree", "probability": 0.5}
    assert (standing["state"], standing["following"], standing["total"]) == ("ready", second, 3)
    picture = client.get(f"/label/pictures/{first}")
    assert picture.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(picture.content)).size == (1280, 1280)
    done = client.post("/label/answers", json={"question": first, "answer": "present"}).json()
    assert (done["result"], done["queue"]["answered"], done["queue"]["question"]["id"]) == ("written", 1, second)
    assert queue.file.path.read_text().splitlines()[1] == "photos/a.png,1,"
    assert client.post("/label/undo", json={}).json()["result"] == "undone"
    assert queue.file.path.read_text().splitlines()[1] == "photos/a.png,,"
    assert client.post("/label/write", json={}).json()["result"] == "written"
    metrics = client.get("/metrics").text
    assert 'promptmlr_labels_total{result="undone"} 1.0' in metrics


def test_wrong_answers_are_refused_with_their_status(serving, queue: LabelQueue, monkeypatch) -> None:
    client = serving(queue=queue).client
    one = {"question": f"{queue.token}-0", "answer": "present"}
    for path, options, status in (
        ("/label/answers", {"json": one | {"question": f"{queue.token}-9"}}, 404),
        ("/label/answers", {"json": one | {"answer": "maybe"}}, 400),
        ("/label/answers", {"json": one | {"question": 0}}, 400),
        ("/label/answers", {"json": one | {"question": "0"}}, 404),
        ("/label/answers", {"json": one | {"question": "another-0"}}, 409),
        ("/label/answers", {"json": one, "headers": {"Origin": "http://[::1"}}, 403),
        ("/label/answers", {"content": b"{"}, 400),
        ("/label/answers", {"data": one}, 400),
        ("/label/undo", {}, 415),
        ("/label/undo", {"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
        ("/label/answers", {"json": one, "headers": {"Origin": "http://evil.example"}}, 403),
        ("/label/undo", {"json": {}, "headers": {"Origin": "http://evil.example"}}, 403),
        ("/label/answers", {"json": one, "headers": {"Host": "evil.example"}}, 421),
    ):
        answer = client.post(path, **options)
        assert answer.status_code == status, (path, options, answer.text)
        assert list(answer.json()) == ["error"]
    for number, status in ((1, 404), (2, 404), (9, 404), (-1, 404), ("x", 404), ("0/../../labels.csv", 404)):
        answer = client.get(f"/label/pictures/{queue.token}-{number}")
        assert answer.status_code == status, (number, answer.text)
        assert str(queue.file.path.parent) not in answer.text
    assert "b.png: not an image" in client.get(f"/label/pictures/{queue.token}-1").text
    assert client.get("/label/pictures/another-0").status_code == 409
    queue.journal.path = queue.journal.path.parent / "no" / "journal"
    lost = client.post("/label/answers", json=one)
    assert lost.status_code == 507
    assert str(queue.journal.path.parent.parent) not in lost.text
    assert "photos/a.png,," in queue.file.path.read_text()


def test_pictures_wait_in_the_places_of_all_images(serving, queue: LabelQueue, monkeypatch) -> None:
    """However many are asked for, two are decoded at once and the rest of those with a place wait."""
    inside, most, lock = 0, 0, threading.Lock()

    def slow(image):
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


def test_before_and_without_suggestions(serving, queue: LabelQueue) -> None:
    fresh = LabelQueue(queue.file, queue.journal)
    client = serving(queue=fresh).client
    assert client.get("/label").json()["state"] == "ranking"
    assert client.post("/label/answers", json={"question": f"{fresh.token}-0", "answer": "absent"}).status_code == 404
    fresh.fail("there are no suggestions; the terminal says why")
    standing = client.get("/label").json()
    assert (standing["state"], standing["question"]) == ("ready", None)
    assert "terminal" in standing["problem"]
