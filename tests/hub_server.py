"""A small stand-in for the Hugging Face Hub: the endpoints that uploading and downloading a model speak to, over HTTP.

It keeps one commit per repository. Real: requests, headers, authentication, the client. Not: LFS, Xet, and whatever the
Hub checks in a model card.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_right"


class Hub:
    """Repositories by name, each with its files; and what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.requests: list[str] = []
        self.address = ""

    def commit(self, repository: str) -> str:
        content = b"".join(name.encode() + data for name, data in sorted(self.files[repository].items()))
        return hashlib.sha1(content).hexdigest()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, code: int, content: Any, **headers: str) -> None:
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(code)
            for key, value in {"Content-Length": str(len(data)), "Content-Type": "application/json", **headers}.items():
                self.send_header(key.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def allowed(self) -> bool:
            return self.headers.get("Authorization") == f"Bearer {TOKEN}"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append(f"{self.command} {path}")
            for repository, files in hub.files.items():
                if hub.private[repository] and not self.allowed():
                    continue
                commit = hub.commit(repository)
                if path.startswith(f"/api/models/{repository}/tree/"):
                    entries = [
                        {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                        for name, data in files.items()
                    ]
                    return self.answer(200, entries)
                if path.startswith(f"/api/models/{repository}"):
                    revision = path.removeprefix(f"/api/models/{repository}").removeprefix("/revision/")
                    if revision not in ("", "main", commit):
                        return self.answer(404, {"error": "no"}, X_Error_Code="RevisionNotFound")
                    siblings = [{"rfilename": name} for name in files]
                    return self.answer(200, {"id": repository, "sha": commit, "siblings": siblings})
                if path.startswith(f"/{repository}/resolve/"):
                    name = path.removeprefix(f"/{repository}/resolve/").split("/", 1)[1]
                    etag = f'"{hashlib.sha1(files[name]).hexdigest()}"'
                    return self.answer(200, files[name], ETag=etag, X_Repo_Commit=commit)
            return self.answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")

        def do_POST(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append(f"POST {path}")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not self.allowed():
                return self.answer(401, {"error": "Invalid credentials in Authorization header"})
            if path == "/api/repos/create":
                asked = json.loads(body)
                repository = "/".join(filter(None, (asked.get("organization"), asked["name"])))
                if repository.startswith("stranger/"):
                    return self.answer(403, {"error": "You don't have the rights to create a model under stranger"})
                hub.files.setdefault(repository, {})
                private = asked.get("private") is True or asked.get("visibility") == "private"
                hub.private.setdefault(repository, private)
                return self.answer(200, {"url": f"{hub.address}/{repository}"})
            repository = "/".join(path.split("/")[3:5])
            if "/preupload/" in path:
                names = [file["path"] for file in json.loads(body)["files"]]
                files = [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]
                return self.answer(200, {"files": files})
            if "/commit/" in path:
                for line in body.decode().splitlines():
                    part = json.loads(line)
                    if part["key"] == "file":
                        hub.files[repository][part["value"]["path"]] = base64.b64decode(part["value"]["content"])
                commit = hub.commit(repository)
                url = f"{hub.address}/{repository}/commit/{commit}"
                return self.answer(200, {"success": True, "commitOid": commit, "commitUrl": url})
            return self.answer(200, {})

    return Handler


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub on a free port of this machine."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
