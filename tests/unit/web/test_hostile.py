"""Requests of strangers, of pages that a user happens to visit, and of clients that break off."""

import base64
import contextlib
import gc
import io
import json
import socket
import struct
import threading
import time
import zlib

import httpx
import pytest
from PIL import Image

from promptmlr.web import server as server_module
from web_support import Served, files, scene_png

EVERYWHERE = ("GET", "/"), ("GET", "/runs"), ("GET", "/health"), ("POST", "/predict"), ("GET", "/nowhere")


def error_of(response, status: int) -> str:
    assert response.status_code == status, (response.status_code, response.text)
    assert list(response.json()) == ["error"]
    message: str = response.json()["error"]
    assert message
    assert "\n" not in message
    assert "/tmp" not in message
    assert "Traceback" not in message
    return message


def raw(served: Served, *parts: bytes, wait: float = 5) -> bytes:
    """What the service answers to these bytes, until it closes the connection."""
    with socket.create_connection(served.address, timeout=wait) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


class Stuck:
    """A model that works when it is told to."""

    def __init__(self, served: Served, monkeypatch) -> None:
        self.go, self.begun, self.batches = threading.Event(), threading.Event(), []
        run = served.service.runs[0]
        real = run.encode

        def encode(images):
            self.batches.append(len(images))
            self.begun.set()
            assert self.go.wait(20)
            return real(images)

        monkeypatch.setattr(run, "encode", encode)


def until(condition) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


# who asks


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8765",
        "LOCALHOST:1",
        "127.0.0.1",
        "127.0.0.1:9999",
        "[::1]:8765",
        "192.168.1.7",
        "mine.lan",
    ],
)
def test_own_names_are_answered(shared, host: str) -> None:
    assert shared.client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::1", "a@b"]
)
def test_a_name_that_leads_here_is_refused(shared, host: str) -> None:
    """DNS rebinding: the page of evil.example asks its own name, which by now is the address of this machine."""
    client = shared.client
    for method, path in EVERYWHERE:
        assert "--allow-host" in error_of(client.request(method, path, headers={"Host": host}), 421)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://{own}"}, 200),
        ({"Origin": "https://{own}"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Origin": "http://{own}.evil.example"}, 403),
        ({"Origin": "http://{own}@evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_pages_of_other_sites_make_no_requests(shared, png: bytes, headers, status: int) -> None:
    own = f"127.0.0.1:{shared.address[1]}"
    sent = {name: value.format(own=own) for name, value in headers.items()}
    assert shared.client.post("/predict", files=files(png), headers=sent).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://mine.lan"}, 200),  # nginx's default Host is the address that it asks
        ({"Origin": "https://mine.lan:8443"}, 200),
        ({"Origin": "https://mine.lan", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "mine.lan", "Origin": "https://mine.lan:8443"}, 200),  # nginx's $host has no port
        ({"Origin": "https://mine.lan:8443", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://mine.lan", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "https://other.lan"}, 403),
        ({"Origin": "https://sub.mine.lan"}, 403),
        ({"Origin": "https://mine.lan.evil.example"}, 403),
        ({"Origin": "https://mine.lan@evil.example"}, 403),
        ({"Origin": "https://evil.example/mine.lan"}, 403),
    ],
)
def test_a_page_behind_a_proxy_goes_by_an_allowed_name(shared, png: bytes, headers, status: int) -> None:
    assert shared.client.post("/predict", files=files(png), headers=headers).status_code == status


@pytest.mark.parametrize("origin", ["http://127.0.0.1:1", "http://localhost:1", "null", ""])
def test_an_address_to_listen_on_is_no_name_of_a_page(serving, png: bytes, origin: str) -> None:
    """Whatever else runs on this machine is another site, although `--host` is among the names."""
    served = serving(hosts=["127.0.0.1", "localhost", ""])
    error_of(served.client.post("/predict", files=files(png), headers={"Origin": origin}), 403)
    error_of(served.client.get("/runs", headers={"Host": ""}), 421)


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://box.lan:8765", 200), ("https://shop.lan", 200), ("http://box.lan:1", 403), ("https://box.lan", 403)],
)
def test_the_name_to_listen_on_is_no_name_of_a_page(serving, png: bytes, origin: str, status: int) -> None:
    """Another port of it is another site, and over plain http to a name no browser sends Sec-Fetch-Site."""
    served = serving(hosts=["shop.lan"], host="Box.lan")
    headers = {"Host": "box.lan:8765", "Origin": origin}
    assert served.client.post("/predict", files=files(png), headers=headers).status_code == status


def test_what_a_proxy_says_of_itself_is_not_believed(shared, png: bytes) -> None:
    forwarded = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    headers = {"Origin": "https://evil.example", **forwarded}
    assert shared.client.post("/predict", files=files(png), headers=headers).status_code == 403


def test_nobody_is_allowed_by_cors(shared, png: bytes) -> None:
    client = shared.client
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answers = [
        client.options("/predict", headers=asked),
        client.get("/runs", headers={"Origin": "http://evil.example"}),
    ]
    assert answers[0].status_code == 403
    assert not [name for answer in answers for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(("method", "path"), EVERYWHERE)
def test_every_answer_has_the_headers(shared, method: str, path: str) -> None:
    for headers in ({}, {"Host": "evil.example"}):
        answer = shared.client.request(method, path, headers=headers)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in answer.headers


# what is asked


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/%2e%2e/run.py",
        "/static/..\\app.py",
        "//etc/passwd",
        "/etc/passwd",
        "/static//etc/passwd",
        "/static/%00",
        "/label/pictures/../../etc/passwd",
        "/" + "a" * 5000,
    ],
)
def test_no_path_of_the_server_is_reachable(shared, path: str) -> None:
    answer = raw(shared, head("GET", path, "Connection: close"))
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"root:" not in answer
    assert b"import" not in answer


def test_wrong_methods_and_unknown_names(shared, png: bytes) -> None:
    client = shared.client
    error_of(client.get("/predict"), 405)
    error_of(client.delete("/runs"), 405)
    assert "first" in error_of(client.post("/predict", params={"run": "<b>x"}, files=files(png)), 404)
    assert "<b>" not in client.post("/predict", params={"run": "<b>x"}, files=files(png)).text
    error_of(client.post("/maps", params={"class": "no such"}, files=files(png)), 404)
    error_of(client.post("/maps", files=files(png)), 400)
    error_of(client.post("/predict", params={"run": "x" * 400}, files=files(png)), 400)


def test_what_is_no_http(shared) -> None:
    answer = raw(shared, b"\x16\x03\x01 hello\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


@pytest.mark.parametrize(
    ("sent", "status", "complaint"),
    [
        ({"json": {}}, 400, "images"),
        ({"json": {"images": []}}, 400, "images"),
        ({"json": {"images": [{"name": "x"}]}}, 400, "images.0.data"),
        ({"json": {"images": [{"data": "no base64!"}]}}, 400, "not base64"),
        ({"json": {"images": [{"data": ""}]}}, 400, "empty"),
        ({"json": {"images": [{"data": "", "path": "/etc/passwd"}]}}, 400, "images.0.path"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "JSON"),
        ({"content": b"[" * 50_000, "headers": {"Content-Type": "application/json"}}, 400, "the body"),
        ({"content": b"\xff\xfe", "headers": {"Content-Type": "application/json"}}, 400, "the body"),
        ({"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415, "multipart/form-data"),
        ({"content": b"x"}, 415, "multipart/form-data"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "boundary"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=a"}}, 400, ""),
        ({"files": [("picture", ("a.png", b"x"))]}, 400, "named 'images'"),
        ({"files": [("images", ("a.png", b""))]}, 400, "empty"),
        ({"files": files(*[b"x"] * 5)}, 413, "more than 4 images"),
        ({"files": files(*[b"x"] * 50)}, 413, "more than 4 images"),
        ({"json": {"images": [{"data": "eA=="}] * 5}}, 413, "more than 4 images"),
        ({"data": {"images": "text"}, "files": [("x", ("a", b"x"))]}, 400, "no file named"),
    ],
)
def test_a_body_without_proper_images_is_refused(shared, sent, status: int, complaint: str) -> None:
    assert complaint in error_of(shared.client.post("/predict", **sent), status)
    assert shared.client.post("/predict", files=files(scene_png())).status_code == 200


# images


def bomb(width: int, height: int) -> bytes:
    """A PNG of a size that it does not hold."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(100_000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"no image", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not an image"),
        (b"%PDF-1.4\n", "not an image"),
        (scene_png()[:200], "cannot be decoded"),
        (bomb(60_000, 60_000), "more than 10,000 pixels"),
        (bomb(101, 100), "more than 10,000 pixels"),
        (bomb(2**31 - 1, 2**31 - 1), ""),
        (bomb(0, 5), ""),
        (b"\xff\xd8" + 101 * b"\xff\xda\0\2", "more than 100 scans"),
    ],
)
def test_images_that_are_none(shared, content: bytes, complaint: str) -> None:
    message = error_of(shared.client.post("/predict", files=files(content, names=["a.png"])), 400)
    assert message.startswith("a.png: ")
    assert complaint in message
    both = shared.client.post("/predict", files=files(content, scene_png())).json()["images"]
    assert both[0]["error"]
    assert both[0]["probabilities"] == {}
    assert both[1]["error"] is None
    error_of(shared.client.post("/maps", params={"class": "tree"}, files=files(content)), 400)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.png", "a.png"),
        ("/home/me/a.png", "a.png"),
        ("<img src=x onerror=alert(1)>.png", "<img src=x onerror=alert(1)>.png"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("a" * 1000, "a" * 120),
        ("..", ".."),
        ("größe 日本.png", "größe 日本.png"),
    ],
)
def test_names_come_back_without_folders_as_json(shared, png: bytes, name: str, shown: str) -> None:
    encoded = {"images": [{"name": name, "data": base64.b64encode(png).decode()}]}
    answer = shared.client.post("/predict", json=encoded)
    assert answer.json()["images"][0]["name"] == shown
    assert answer.headers["content-type"] == "application/json"


def test_every_format_of_the_readers_is_read(shared) -> None:
    client = shared.client
    for kind in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "PPM"):
        buffer = io.BytesIO()
        Image.new("RGB", (40, 30), "red").save(buffer, kind)
        image = client.post("/predict", files=files(buffer.getvalue())).json()["images"][0]
        assert (image["width"], image["height"]) == (40, 30), kind


# how much, how long, how many


def test_a_body_that_says_it_is_too_large_is_not_waited_for(serving) -> None:
    served = serving(max_megabytes=0.01)
    answer = raw(served, head("POST", "/predict", "Content-Type: application/json", "Content-Length: 99999999"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"larger than 10.2" in answer


def test_a_body_is_cut_off_while_it_streams(serving, monkeypatch) -> None:
    monkeypatch.setattr(server_module, "LINGER_BYTES", 1_000_000)
    served = serving(max_megabytes=0.1)
    sent = 0

    def endless():
        nonlocal sent
        yield b'--a\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
        for _ in range(20_000):
            sent += 10_000
            yield b"x" * 10_000

    kind = {"Content-Type": "multipart/form-data; boundary=a"}
    with contextlib.suppress(httpx.TransportError):  # a client that goes on sending finds the connection closed
        assert "larger than" in error_of(served.client.post("/predict", content=endless(), headers=kind), 413)
    assert sent < 50_000_000
    assert 'outcome="too_large"} 1.0' in served.client.get("/metrics").text
    assert served.service._taken == 0


def test_requests_without_images_are_small(shared) -> None:
    error_of(shared.client.post("/label/answers", content=b"x" * 100_000), 413)


def test_a_body_that_dribbles_is_given_up(serving) -> None:
    served = serving(timeout=0.3)
    answer = raw(served, head("POST", "/predict", "Content-Type: application/json", "Content-Length: 100"), b"{")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert served.service._taken == 0


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_a_head_that_dribbles_is_given_up(serving, monkeypatch, sent: bytes) -> None:
    monkeypatch.setattr(server_module, "HEAD_SECONDS", 0.2)
    with pytest.raises((ConnectionResetError, AssertionError)):
        assert raw(serving(), sent)


def test_a_head_that_dribbles_after_a_whole_request(serving, monkeypatch) -> None:
    monkeypatch.setattr(server_module, "HEAD_SECONDS", 0.2)
    served = serving()
    with socket.create_connection(served.address, timeout=5) as connection:
        connection.sendall(head("GET", "/health"))
        answer = b""
        while b"]}" not in answer:
            answer += connection.recv(65536)
        connection.sendall(b"GET / HT")
        with pytest.raises((ConnectionResetError, AssertionError)):
            assert connection.recv(65536)


def test_too_many_connections_are_dropped(serving, monkeypatch) -> None:
    monkeypatch.setattr(server_module, "MOST_CONNECTIONS", 2)
    served = serving()
    with socket.create_connection(served.address), socket.create_connection(served.address):
        until(lambda: len(served.server._server.server_state.connections) == 2)
        with pytest.raises((ConnectionResetError, AssertionError)):
            assert raw(served, head("GET", "/health"))
    until(lambda: served.client.get("/health").status_code == 200)


def test_one_too_many_is_told_to_come_back(serving, png: bytes, monkeypatch) -> None:
    served = serving(concurrency=2)
    stuck = Stuck(served, monkeypatch)
    answers = []

    def ask(number: int) -> None:
        answers.append(served.client.post("/predict", files=files(scene_png(number))).status_code)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: served.service._taken == 2)
    refused = served.client.post("/predict", files=files(png))
    error_of(refused, 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert served.client.get("/health").status_code == 200
    stuck.go.set()
    for thread in threads:
        thread.join()
    assert answers == [200, 200]
    assert served.client.post("/predict", files=files(png)).status_code == 200
    assert 'outcome="busy"} 1.0' in served.client.get("/metrics").text


def test_a_large_body_learns_that_there_is_no_place(serving) -> None:
    """The service answers before it has read all; to a client that goes on sending, a closed connection hides that."""
    served = serving(concurrency=1)
    served.service._taken = 1
    error_of(served.client.post("/predict", files=files(b"x" * 8_000_000)), 429)
    begin = head("POST", "/predict", "Content-Type: application/json", "Content-Length: 8000000")
    with socket.create_connection(served.address, timeout=20) as connection:
        connection.sendall(begin)
        until(lambda: 'outcome="busy"} 2.0' in served.client.get("/metrics").text)
        for _ in range(80):
            connection.sendall(b"x" * 100_000)
        assert connection.recv(65536).startswith(b"HTTP/1.1 429 ")


def test_who_leaves_frees_the_place_and_is_not_worked_for(serving, png: bytes, monkeypatch) -> None:
    served = serving(concurrency=2)
    stuck = Stuck(served, monkeypatch)
    first = threading.Thread(target=served.client.post, args=("/predict",), kwargs={"files": files(png)})
    first.start()
    assert stuck.begun.wait(10)
    body = json.dumps({"images": [{"data": base64.b64encode(scene_png(5)).decode()}]}).encode()
    with socket.create_connection(served.address) as leaver:
        leaver.sendall(
            head("POST", "/predict", "Content-Type: application/json", f"Content-Length: {len(body)}") + body
        )
        until(lambda: served.service.worker.waiting == 1)
    until(lambda: served.service._taken == 1)
    stuck.go.set()
    first.join()
    assert served.client.post("/predict", files=files(scene_png(6))).status_code == 200
    assert stuck.batches == [1, 1]
    assert 'outcome="gone"} 1.0' in served.client.get("/metrics").text


def test_an_answer_that_takes_too_long(serving, png: bytes, monkeypatch, caplog) -> None:
    served = serving(timeout=0.3)
    stuck = Stuck(served, monkeypatch)
    late = served.client.post("/predict", files=files(png))
    assert "no answer within 0.3 s" in error_of(late, 503)
    assert late.headers["retry-after"]
    assert served.service._taken == 0
    stuck.go.set()
    until(lambda: served.service.worker.waiting == 0)
    gc.collect()
    assert "never retrieved" not in caplog.text


@pytest.mark.parametrize(("error", "status"), [(MemoryError(), 503), (ValueError("at /tmp/secret"), 500)])
def test_a_failing_model_is_no_end(serving, png: bytes, monkeypatch, error: Exception, status: int) -> None:
    served = serving()

    def fail(_images):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(served.service.runs[0], "encode", fail)
        error_of(served.client.post("/predict", files=files(png)), status)
    assert served.client.post("/predict", files=files(png)).status_code == 200
