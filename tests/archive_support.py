"""Archives of drawn scenes, as webdataset and img2dataset write them."""

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from promptmlr import scenes

Files = list[tuple[str, bytes]]


def drawn_files(first: int, count: int) -> Files:
    """Names and contents of scenes with a caption and a record each, in the order of a tar by img2dataset."""
    files = []
    for number in range(first, first + count):
        scene, key = scenes.draw_scene(7, number), f"{number:09d}"
        present = [name for name, label in zip(scenes.CLASS_NAMES, scene.labels, strict=True) if label == 1]
        record = {"key": key, "caption": "a drawing", "status": "success", "labels": present}
        files += [
            (f"{key}.png", png(scene.image)),
            (f"{key}.txt", b"a drawing"),
            (f"{key}.json", json.dumps(record).encode()),
        ]
    return files


def png(pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_tar(path: Path, files: Iterable[tuple[str, bytes]]) -> Path:
    """A tar of files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_shards(folder: Path, shards: int, each: int) -> list[Path]:
    """Tars `00000.tar`, `00001.tar`, … of scenes that go on from one to the next."""
    return [write_tar(folder / f"{one:05d}.tar", drawn_files(one * each, each)) for one in range(shards)]
