"""How fast the page of `promptmlr serve --label` takes answers on drawn scenes, and how many cells must be touched.

    python bench/labelling.py --labels 960 --worlds scenes,scenes:usual:1,scenes:crowded:2

Nothing is known at the start: the service is given a folder and the names of the classes. A robot in Chromium answers
truly, as fast as the page lets it: it waits for the pictures, clicks what is proposed wrongly (or sets all by one key,
where that leaves less to click), and confirms. So its labels per minute are the speed of the page, and of nobody. A
person looks at every cell, random ones too, and takes time to touch: the same answers are also counted at --look
seconds for a cell and --touch for a click or a key, which are assumed and not measured. Rankings are made beside it; a
robot is so fast that few of its pages come from new ones, so a person touches less than it does.
"""

import argparse
import csv
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from promptmlr.data import load_data
from promptmlr.options import DataOptions
from promptmlr.report.tables import markdown_table

CHROMIUM = "/usr/bin/chromium"
MODES = {"single": "one question", "image": "one image, many classes", "grid": "one class, many images"}

ROBOT = """async ([truth, wanted]) => {
  const byId = id => document.getElementById(id), found = [];
  let confirmed = 0;
  const press = key => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  const image = () => byId("how").textContent.split(", row ")[0];
  const named = () => byId("question").textContent.match(/“(.*)”/)[1];
  // Whether each answer took a touch: the wrong ones are clicked, unless one key for all leaves less to click.
  const settle = (buttons, truths) => {
    const wanted = truths.map(there => (there ? "present" : "absent")), count = of => of.filter(Boolean).length;
    let touched = wanted.map((one, i) => buttons[i].dataset.is !== one);
    for (const [key, all] of byId("page").className === "grid" ? [["y", "present"], ["n", "absent"]] : []) {
      const left = wanted.map(one => one !== all);
      if (count(left) + 1 >= count(touched)) continue;
      press(key);
      touched = left;
      touched[wanted.indexOf(all)] = true;  // the key counts as a touch
    }
    buttons.forEach((button, i) => { while (button.dataset.is !== wanted[i]) button.click(); });
    found.push(...touched);
    confirmed++;
    press("Enter");
  };
  const begin = performance.now();
  for (let before = null; found.length < wanted;) {
    const first = byId("page").firstElementChild;
    const confirm = document.querySelector("[data-answer=confirm], [data-answer=present]");
    if (!first || first === before || !confirm || confirm.disabled) {
      if (byId("question").textContent === "That was all") break;
      await new Promise(done => requestAnimationFrame(done));
      continue;
    }
    before = first;
    const [tiles, toggles] = [".tile", ".toggle"].map(kind => [...document.querySelectorAll(kind)]);
    if (tiles.length) {
      settle(tiles, tiles.map(tile => truth[tile.title.split(", row ")[0]][named()]));
    } else if (toggles.length) {
      settle(toggles, toggles.map(toggle => truth[image()][toggle.querySelector(".name").textContent]));
    } else {
      found.push(true);
      press(truth[image()][named()] ? "y" : "n");
    }
  }
  return [found, confirmed, (performance.now() - begin) / 1000, byId("standing").textContent];
}"""


def drawn(folder, images, world="scenes"):
    """Scenes as files, and what is in each: file → class → whether it is there."""
    scenes = load_data(world, options=DataOptions(scenes_train=images, scenes_test=1))
    truth = {}
    for image, labels in zip(scenes.images, scenes.labels, strict=True):
        name = f"{len(truth):05d}.png"
        image.open().save(folder / name)
        truth[name] = dict(zip(scenes.class_names, (labels == 1).tolist(), strict=True))
    return truth


@contextmanager
def service(folder, classes, store, share):
    """The address of a service that asks about a folder."""
    command = [sys.executable, "-m", "promptmlr", "serve", "--label", folder, "--classes", ",".join(classes)]
    command += ["--backbone", "scenes", "--port", "0", "--cache", store, "--random-share", share]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
    try:
        address = None
        for line in process.stderr:
            address = address or re.search(r"http://\S+?:\d+/", line)
            if "the queue asks about" in line:
                break
        else:
            raise SystemExit("the service ended before it was ready")
        yield address[0]
    finally:
        process.terminate()
        process.communicate()


def answered(page, address, mode, truth, wanted):
    """Whether each answer took a touch, how many pages were confirmed, seconds, and where the queue then is."""
    page.goto(f"{address}#label")
    page.wait_for_selector("#page .frame")
    if mode != "grid":
        page.click(f"[data-mode={mode}]")
        page.wait_for_selector(f"#page.{mode} .frame")
    return page.evaluate(ROBOT, [truth, wanted])


def wrong_answers(table, truth):
    """Cells of the file that do not say what is true, and how many are filled."""
    with table.open(newline="") as file:
        cells = [(row["image"], name, cell) for row in csv.DictReader(file) for name, cell in row.items()]
    filled = [(image, name, cell) for image, name, cell in cells if name != "image" and cell]
    return sum(truth[image][name] != (cell == "1") for image, name, cell in filled), len(filled)


def measured(browser, world, asked):
    """Rows of the table: a mode each, on one world."""
    with tempfile.TemporaryDirectory() as place:
        folder, store = Path(place) / "photos", Path(place) / "store"
        folder.mkdir()
        truth = drawn(folder, asked.images, world)
        for mode, words in MODES.items():
            with service(folder, list(truth["00000.png"]), store, asked.random_share) as address:
                page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
                found, confirmed, seconds, standing = answered(page, address, mode, truth, asked.labels)
                time.sleep(0.5)  # until the last answer is written
                page.context.close()
            table = folder / "labels.csv"
            wrong, filled = wrong_answers(table, truth)
            if wrong or filled != len(found):
                raise SystemExit(
                    f"{mode}: {filled} cells are filled after {len(found)} answers, {wrong} of them wrongly"
                )
            for file in (table, *folder.glob("*.jsonl")):
                file.unlink()
            touched = np.array(found)
            parts = [f"{100 * part.mean():.1f}" for part in (touched, *np.array_split(touched, 4)[::3])]
            slower = seconds + asked.look * len(found) + asked.touch * (touched.sum() + confirmed)
            print(f"{world}, {mode}: {len(found)} labels in {seconds:.1f} s; {standing}", flush=True)
            yield [world, words, *(f"{60 * len(found) / time:,.0f}" for time in (seconds, slower)), *parts]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", default="scenes")
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--labels", type=int, default=2400, help="in each mode")
    parser.add_argument("--random-share", default="0.1")
    parser.add_argument("--look", type=float, default=0.3, help="seconds that a person looks at a cell")
    parser.add_argument("--touch", type=float, default=0.7, help="seconds of a click or a key")
    asked = parser.parse_args()

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=["--no-sandbox"])
        rows = [row for world in asked.worlds.split(",") for row in measured(browser, world, asked)]
        browser.close()
    person = f"at {asked.look:g} s a look, {asked.touch:g} s a touch"
    speed = ("labels per minute, the page", f"a person {person}")
    header = ("world", "mode", *speed, "touched %", "of the first quarter", "of the last quarter")
    print(f"\n{markdown_table(header, rows, 2)}")


if __name__ == "__main__":
    main()
