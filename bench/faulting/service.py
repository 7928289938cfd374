"""A person who labels with `promptmlr serve`: answers truly, remembers what was acknowledged, and looks it up later."""

import csv
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from faulting.process import Job

__all__ = ["Answers", "answer_all", "lost_answers"]

PATIENCE = 30.0  # seconds for one request; that it takes no longer is checked from outside
Cell = tuple[str, str]  # name of the file and class


@dataclass
class Answers:
    """What somebody answers, and has answered.

    Attributes:
        truth: cell → "1" or "0".
        taken: those that the service said it has taken.
        who: the name of whoever answers.
    """

    truth: Mapping[Cell, str]
    taken: set[Cell] = field(default_factory=set)
    who: str = "somebody-1"

    @classmethod
    def of(cls, table: Path) -> "Answers":
        """From a table without blanks."""
        return cls({cell: value for cell, value in _cells(table).items() if value})


def answer_all(job: Job, _folder: Path, answers: Answers) -> None:
    """Answer until nothing is left to be asked, or the service ends or has nothing to ask for long."""
    address = _address(job)
    if address is None:
        return
    try:
        with httpx.Client(base_url=address, timeout=PATIENCE) as client:
            asked = {"who": answers.who, "mode": "image"}
            until = time.monotonic() + PATIENCE
            while job.running and time.monotonic() < until:
                queue = _said(client, "label", asked)
                if not queue["left"] and not queue["pages"] and queue["state"] == "ready":
                    return
                if queue["pages"]:
                    if not _answer(client, queue["pages"][0], answers):
                        return
                    until = time.monotonic() + PATIENCE
                else:
                    time.sleep(0.02)
    except httpx.HTTPError:
        job.wait(2)  # it was ended, and the connection with it
        if job.running:
            raise


def _answer(client: httpx.Client, page: Mapping[str, Any], answers: Answers) -> bool:
    """Answer a page; False where the service says that it cannot keep answers: a person stops there."""
    cells = [(cell["image"].rpartition("/")[2], cell["class"]) for cell in page["cells"]]
    words = ["present" if answers.truth[cell] == "1" else "absent" for cell in cells]
    done = client.post("label/answers", json={"who": answers.who, "page": page["id"], "answers": words})
    if done.status_code == httpx.codes.OK:
        answers.taken |= set(cells)
    return done.status_code != httpx.codes.INSUFFICIENT_STORAGE


def _said(client: httpx.Client, path: str, content: Mapping[str, Any]) -> Any:
    answer = client.post(path, json=content)
    answer.raise_for_status()
    return answer.json()


def _address(job: Job) -> str | None:
    while job.running:
        if (found := re.search(r"http://\S+?:\d+/", job.said)) and "\n" in job.said[found.end() :]:
            return found[0]
        time.sleep(0.005)
    return None


def lost_answers(folder: Path, answers: Answers) -> list[str]:
    """Acknowledged answers that are not as they were given, in a table or a journal of a folder."""
    if not answers.taken:
        return []
    there: dict[Cell, str] = {}
    for journal in folder.rglob("*answers*.jsonl"):
        for line in journal.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # cut short by a kill, and so of an answer that nobody was told was taken
                continue
            there[entry["image"].rpartition("/")[2], entry["class"]] = entry["value"]
    for table in folder.rglob("labels.csv"):
        there |= {cell: value for cell, value in _cells(table).items() if value}
    return [
        f"{name} of {image}"
        for image, name in sorted(answers.taken)
        if there.get((image, name)) != answers.truth[image, name]
    ]


def _cells(table: Path) -> dict[Cell, str]:
    with table.open(newline="", encoding="utf-8") as file:
        return {
            (row["image"].rpartition("/")[2], name): value
            for row in csv.DictReader(file)
            for name, value in row.items()
            if name not in ("image", "split")
        }
