"""An object store for tests: a server of moto on this machine, reached as any other."""

import http.client
from collections.abc import Callable, Iterator

import fsspec
import pytest
from moto.server import ThreadedMotoServer


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"{host}:{port}"
    moto.stop()


@pytest.fixture
def bucket(server: str, monkeypatch) -> Callable[..., None]:
    """An empty bucket `photos`, and credentials; gives the function that sends a command to the server itself."""
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{server}",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "something",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)

    def tell(path: str, body: str = "") -> None:
        connection = http.client.HTTPConnection(server)
        connection.request("POST", f"/moto-api/{path}", body)
        assert connection.getresponse().status == 200
        connection.close()

    tell("reset")
    forget()
    fsspec.filesystem("s3").mkdir("photos")
    yield tell
    tell("reset-auth", "1000000")
    forget()


def forget() -> None:
    """No connection and no listing of before."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
