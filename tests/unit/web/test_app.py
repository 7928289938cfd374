"""What the service answers to those who ask properly."""

import base64
import re
from concurrent.futures import ThreadPoolExecutor
from graphlib import TopologicalSorter
from importlib import resources

import numpy as np
import pytest

from promptmlr.data.images import image_from_bytes
from promptmlr.maps.subject import subject_of_run
from promptmlr.regions import encode_pixels
from promptmlr.web.app import PAGE
from web_support import files, scene_png


def regions_of(run, png: bytes):
    return encode_pixels(run.backbone, [run.backbone.preprocessing.pixels(image_from_bytes(png, "x"))])


def test_predictions_are_those_of_the_run(shared, loaded, png: bytes) -> None:
    for name, run in zip(("first", "second"), loaded, strict=True):
        answer = shared.client.post("/predict", params={"run": name}, files=files(png, scene_png(1)))
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["run"] == name
        assert [image["name"] for image in body["images"]] == ["0.png", "1.png"]
        image = body["images"][0]
        assert (image["width"], image["height"], image["error"]) == (96, 96, None)
        expected = run.probabilities(regions_of(run, png))[0]
        assert list(image["probabilities"]) == list(run.class_names)
        assert np.allclose(list(image["probabilities"].values()), expected, atol=1e-5)
        above = {name for name, p, cut in zip(run.class_names, expected, run.thresholds, strict=True) if p > cut}
        assert set(image["labels"]) == above


def test_json_and_form_agree_and_the_first_run_is_asked(shared, png: bytes) -> None:
    encoded = {"images": [{"name": "0.png", "data": base64.b64encode(png).decode()}]}
    one, other = shared.client.post("/predict", files=files(png)), shared.client.post("/predict", json=encoded)
    assert one.json() == other.json()
    assert one.json()["run"] == "first"


def test_many_at_once_are_each_answered_with_their_own(serving) -> None:
    served = serving()
    pngs = [scene_png(number) for number in range(8)]
    alone = [served.client.post("/predict", files=files(png)).json()["images"][0]["probabilities"] for png in pngs]
    served.service.worker._kept.clear()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda png: served.client.post("/predict", files=files(png)).json(), pngs))
    for one, other in zip(alone, together, strict=True):
        found = other["images"][0]["probabilities"]
        assert np.allclose(list(one.values()), list(found.values()), atol=1e-4)
    assert len({tuple(one.values()) for one in alone}) == 8


@pytest.mark.parametrize("number", [0, 1])
def test_maps_are_those_of_explain_without_the_global_region(shared, loaded, png: bytes, number: int) -> None:
    run = loaded[number]
    name = run.class_names[3]
    answer = shared.client.post("/maps", params={"class": name, "run": run.path.name}, files=files(png)).json()
    presence, absence = subject_of_run(run).maps(regions_of(run, png))
    for key, side in (("presence", presence), ("absence", absence)):
        assert np.allclose(answer[key]["grid"], side[0, 3, 1:].reshape(4, 4), atol=1e-3)
    lowest = min(presence[0, :, 1:].min(), absence[0, :, 1:].min())
    assert answer["presence"]["low"] == pytest.approx(float(lowest), abs=1e-4)
    assert answer["class"] == name


def test_regions_are_kept_for_the_next_question(serving, loaded, png: bytes, monkeypatch) -> None:
    served = serving()
    calls = []
    encode = served.service.runs[0].encode
    monkeypatch.setattr(served.service.runs[0], "encode", lambda images: calls.append(len(images)) or encode(images))
    served.client.post("/predict", files=files(png))
    served.client.post("/maps", params={"class": loaded[0].class_names[0]}, files=files(png))
    served.client.post("/predict", files=files(png, png))
    assert calls == [1]


def test_runs_are_described_as_their_folders_say(shared, loaded) -> None:
    runs = shared.client.get("/runs").json()
    assert [run["name"] for run in runs["runs"]] == ["first", "second"]
    for described, run in zip(runs["runs"], loaded, strict=True):
        assert described["class_names"] == list(run.class_names)
        assert np.allclose(described["thresholds"], run.thresholds, atol=1e-6)
        assert described["calibrated"] == (run.calibration is not None)
    assert runs["labelling"] is None
    assert shared.client.get("/label").status_code == 404


def test_health_says_whether_it_can_be_used(serving, png: bytes) -> None:
    served = serving(ready=False)
    health = served.client.get("/health")
    assert (health.status_code, health.json()["status"]) == (503, "loading")
    early = served.client.post("/predict", files=files(png))
    assert early.status_code == 503
    assert early.headers["retry-after"]
    served.service.ready = True
    health = served.client.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "ready")


def test_metrics_count_what_happened(serving, png: bytes) -> None:
    served = serving(max_pixels=20_000)
    served.client.post("/predict", files=files(png))
    served.client.post("/predict", files=files(b"no image"))
    served.client.get("/nowhere/at/all")
    text = served.client.get("/metrics").text
    for line in (
        'promptmlr_requests_total{endpoint="/predict",outcome="ok"} 1.0',
        'promptmlr_requests_total{endpoint="/predict",outcome="bad_request"} 1.0',
        'promptmlr_requests_total{endpoint="other",outcome="bad_request"} 1.0',
        'promptmlr_images_total{outcome="predicted"} 1.0',
        'promptmlr_images_total{outcome="unreadable"} 1.0',
        'promptmlr_request_seconds_count{endpoint="/predict"} 2.0',
        "promptmlr_queue_images 0.0",
    ):
        assert line in text.splitlines()


def test_openapi_describes_bodies_answers_and_refusals(shared) -> None:
    document = shared.client.get("/openapi.json").json()
    predict = document["paths"]["/predict"]["post"]
    assert set(predict["requestBody"]["content"]) == {"multipart/form-data", "application/json"}
    assert {"200", "400", "413", "415", "429", "503"} <= set(predict["responses"])
    answer = predict["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
    assert set(document["components"]["schemas"][answer]["properties"]) == {"run", "images"}
    assert shared.client.get("/docs").status_code == shared.client.get("/redoc").status_code == 404


def test_the_page_loads_nothing_from_elsewhere(shared) -> None:
    client = shared.client
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    links = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert links
    for link in links:
        assert client.get(f"/{link}").status_code == 200, link
        assert "//" not in link
    assert " style=" not in page.text
    assert not re.search(r"<[^>]*\son\w+=", page.text)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    scripts = [client.get(f"/static/{name}").text for name in PAGE if name.endswith(".js")]
    assert not [text for text in scripts if "http://" in text or "https://" in text or "innerHTML" in text]


def test_the_scripts_of_the_page_import_one_way() -> None:
    folder = resources.files("promptmlr.web") / "static"
    scripts = {path.name: path.read_text() for path in folder.iterdir() if path.name.endswith(".js")}
    imports = {name: re.findall(r'from "\./([\w.]+)"', text) for name, text in scripts.items()}
    order = list(TopologicalSorter(imports).static_order())
    assert set(order) == set(scripts) == {name for name in PAGE if name.endswith(".js")}
    assert order[-1] == "page.js"
