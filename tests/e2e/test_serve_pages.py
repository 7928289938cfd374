"""The page in Chromium: images, thresholds, maps, two runs, and the labelling queue by keyboard.

Where there is no Chromium these are skipped, but not in CI, which installs it: there they fail.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from promptmlr.web.journal import Journal
from promptmlr.web.label_file import LabelFile
from promptmlr.web.labelling import LabelQueue
from promptmlr.web.suggestions import Cell
from web_support import Served, scene_png
from web_support import serving as serving

CHROMIUM = Path("/usr/bin/chromium")
PHONE = {"width": 390, "height": 844}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{CHROMIUM} is missing: apt-get install chromium")
        pytest.skip(f"{CHROMIUM} is not installed")
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    rows = ["image,tree,cat\r\n"]
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(scene_png(number))
        rows.append(f"{number}.png,,\r\n")
    path.write_bytes("".join(rows).encode())
    return path


@pytest.fixture
def queue(table: Path) -> LabelQueue:
    queue = LabelQueue(LabelFile(table), Journal(table.with_suffix(".jsonl")))
    queue.offer([Cell(f"{number}.png", name, 0.5) for number in range(4) for name in ("tree", "cat")])
    return queue


@pytest.fixture
def opened(browser: Browser, serving) -> Iterator[Callable[..., Page]]:
    """The page of a service; whatever its script or policy complains about fails the test."""
    complaints: list[str] = []
    pages: list[Page] = []

    def open_page(served: Served, path: str = "", expected: str = "nothing", **options) -> Page:
        context = browser.new_context(**options)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: heard(message.type, message.text))
        own = f"http://127.0.0.1:{served.address[1]}/"
        page.on("request", lambda request: None if request.url.startswith((own, f"blob:{own}")) else
                complaints.append(request.url))  # fmt: skip

        def heard(kind: str, text: str) -> None:
            if kind in ("error", "warning") and not re.search(expected, text):
                complaints.append(text)

        page.goto(own + path)
        page.wait_for_selector("section:visible")  # before that its script is not at work
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert complaints == []


def images(*numbers: int) -> list[dict[str, object]]:
    return [{"name": f"{number}.png", "mimeType": "image/png", "buffer": scene_png(number)} for number in numbers]


def fits(page: Page) -> bool:
    wide: int = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return wide <= 0


def test_images_get_labels_thresholds_and_maps(opened, serving, loaded) -> None:
    served = serving()
    page = opened(served)
    page.set_input_files("#files", images(0, 1))
    expect(page.locator("article table")).to_have_count(2)
    expect(page.locator("#look-status")).to_have_text("2 recognized")
    said = served.client.post("/predict", files={"images": scene_png(0)}).json()["images"][0]
    first = page.locator("article").first
    expect(first.locator("h3")).to_have_text("0.png")
    assert sorted(first.locator("tr.is-label button").all_inner_texts()) == sorted(said["labels"])
    top = max(said["probabilities"], key=said["probabilities"].get)
    row = first.locator("tbody tr").first
    expect(row).to_contain_text(top)
    expect(row).to_contain_text(f"{100 * said['probabilities'][top]:.1f} %")
    mark = row.locator(".mark").evaluate("mark => parseFloat(mark.style.left)")
    assert mark == pytest.approx(100 * loaded[0].thresholds[loaded[0].class_names.index(top)], abs=1e-3)

    slider = page.get_by_label("Threshold")
    slider.fill("100")
    expect(page.locator("tr.is-label")).to_have_count(0)
    expect(page.locator("#threshold-now")).to_have_text("100 % for all")
    slider.fill("0")
    expect(first.locator("tr.is-label")).to_have_count(20)
    page.get_by_role("button", name="Use each class’s own").click()
    assert first.locator("tr.is-label").count() == len(said["labels"])

    expect(first.locator(".maps canvas")).to_have_count(2)
    expect(first.get_by_role("img", name=re.compile(f"presence of {top}: strongest in row . of 4"))).to_be_visible()
    other = first.locator("tbody tr").nth(3).get_by_role("button")
    other.focus()
    page.keyboard.press("Enter")
    expect(first.get_by_role("img", name=re.compile(f"absence of {other.inner_text()}"))).to_be_visible()
    expect(other).to_have_attribute("aria-pressed", "true")
    first.get_by_role("button", name="All 20 classes").click()
    expect(first.locator("tbody tr:visible")).to_have_count(20)


def test_the_map_is_strong_where_the_service_says(opened, serving) -> None:
    """The brightest cell of the canvas is the greatest of the grid: neither mirrored nor transposed."""
    served = serving()
    page = opened(served, expected="Canvas2D: Multiple readback")  # which is this test's own
    page.set_input_files("#files", images(0))
    canvas = page.locator(".maps canvas").first
    name = page.locator("article button[aria-pressed=true]").inner_text()
    answer = served.client.post("/maps", params={"class": name}, files={"images": scene_png(0)}).json()
    expect(canvas).to_be_visible()
    yellow = canvas.evaluate(
        """canvas => {
          const context = canvas.getContext("2d"), side = canvas.width / 4, found = [];
          for (let r = 0; r < 4; r++) for (let c = 0; c < 4; c++) {
            const data = context.getImageData(c * side, r * side, side, side).data;
            let sum = 0;
            for (let i = 0; i < data.length; i += 4) sum += data[i] + data[i + 1] - 2 * data[i + 2];
            found.push(sum);
          }
          return found;
        }"""
    )
    grid = [value for row in answer["presence"]["grid"] for value in row]
    assert yellow.index(max(yellow)) == grid.index(max(grid))


def test_two_runs_side_by_side(opened, serving) -> None:
    served = serving(runs=2)
    page = opened(served)
    page.set_input_files("#files", images(3))
    expect(page.locator("article table")).to_have_count(2)
    expect(page.locator("article .maps")).to_have_count(2)
    boxes = [page.locator("article table").nth(i).bounding_box() for i in range(2)]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    labels = []
    for name in ("first", "second"):
        answer = served.client.post("/predict", params={"run": name}, files={"images": scene_png(3)})
        labels.append(set(answer.json()["images"][0]["labels"]))
    told = page.locator(".differ").inner_text()
    for words, expected in (
        ("Both", labels[0] & labels[1]),
        ("Only first", labels[0] - labels[1]),
        ("Only second", labels[1] - labels[0]),
    ):
        found = re.search(f"{words}: ([^.]*)", told)
        assert set(found[1].split(", ") if found else []) == expected


def test_what_cannot_be_read_is_said_as_text(opened, serving) -> None:
    page = opened(serving(max_megabytes=0.2), expected="400 .Bad Request.|ERR_|Failed to load resource")
    name = "<img src=x onerror=alert(1)>.png"
    page.set_input_files("#files", [{"name": name, "mimeType": "image/png", "buffer": b"no image"}])
    expect(page.locator("article h3")).to_have_text(name)
    expect(page.locator("article .problem")).to_contain_text("not an image")
    assert page.locator("article img").count() == 0
    page.set_input_files("#files", [{"name": "b.png", "mimeType": "image/png", "buffer": b"x" * 300_000}])
    expect(page.locator("article .problem").nth(1)).to_contain_text("too large")
    expect(page.locator("#look-status")).to_have_text("2 not")


def test_a_full_service_is_waited_for(opened, serving) -> None:
    served = serving(concurrency=1)
    served.service._taken = 1
    page = opened(served, expected="429")
    page.set_input_files("#files", images(0))
    expect(page.locator("#look-status")).to_contain_text("Waiting for a place")
    served.service._taken = 0
    expect(page.locator("article table")).to_have_count(1)


def press(page: Page, key: str) -> None:
    """Answer, as soon as the photo is there."""
    expect(page.get_by_role("button", name="Yes")).to_be_enabled()
    page.keyboard.press(key)


def test_labelling_by_keyboard_writes_the_file(opened, serving, queue: LabelQueue, table: Path) -> None:
    page = opened(serving(queue=queue), "#label")
    question = page.get_by_role("heading", name="Is “tree” in this image?")
    expect(question).to_be_visible()
    expect(page.get_by_alt_text("Image 0.png")).to_be_visible()
    expect(page.locator("#standing")).to_have_text("0 of 8 answered")
    press(page, "y")
    expect(page.locator("#question")).to_have_text("Is “cat” in this image?")
    expect(page.locator("#label-status")).to_have_text("tree in 0.png: present, written to row 2.")
    assert table.read_bytes() == b"image,tree,cat\r\n0.png,1,\r\n1.png,,\r\n2.png,,\r\n3.png,,\r\n"
    press(page, "n")
    expect(page.locator("#photo-caption")).to_contain_text("1.png, row 3. The run says 50 %.")
    page.keyboard.press("s")
    expect(page.locator("#standing")).to_have_text("2 of 8 answered, 1 skipped")
    page.keyboard.press("u")
    page.keyboard.press("Control+n")
    expect(page.locator("#standing")).to_have_text("2 of 8 answered")
    page.keyboard.press("u")
    expect(page.locator("#question")).to_have_text("Is “cat” in this image?")
    assert table.read_bytes() == b"image,tree,cat\r\n0.png,1,\r\n1.png,,\r\n2.png,,\r\n3.png,,\r\n"
    page.get_by_role("button", name="No").click()
    expect(page.locator("#standing")).to_have_text("2 of 8 answered")
    page.get_by_label("The keys Y, N, S and U answer").uncheck()
    press(page, "y")
    page.get_by_label("The keys Y, N, S and U answer").check()
    for number in range(3, 9):
        press(page, "y")
        expect(page.locator("#standing")).to_have_text(f"{number} of 8 answered")
    expect(page.locator("#question")).to_have_text("That was all")
    assert table.read_bytes() == b"image,tree,cat\r\n0.png,1,0\r\n1.png,1,1\r\n2.png,1,1\r\n3.png,1,1\r\n"


def test_a_page_of_a_service_that_ended_answers_nothing(opened, serving, queue: LabelQueue, table: Path) -> None:
    page = opened(serving(queue=queue), "#label", expected="409")
    expect(page.locator("#question")).to_have_text("Is “tree” in this image?")
    before = table.read_bytes()
    again = LabelQueue(queue.file, queue.journal)
    again.offer(queue._suggestions[::-1])
    vars(queue).update(vars(again))  # what a service that is started again on this port would ask
    press(page, "y")
    expect(page.locator("#label-status")).to_contain_text("nothing was written: the service was started again")
    assert table.read_bytes() == before
    expect(page.locator("#photo-caption")).to_contain_text("3.png, row 5")
    expect(page.get_by_alt_text("Image 3.png")).to_have_attribute("src", f"label/pictures/{again.token}-0")
    press(page, "n")
    expect(page.locator("#standing")).to_have_text("1 of 8 answered")
    assert b"3.png,,0" in table.read_bytes()


def test_labelling_while_others_write_the_file(opened, serving, queue: LabelQueue, table: Path) -> None:
    page = opened(serving(queue=queue), "#label")
    expect(page.locator("#question")).to_have_text("Is “tree” in this image?")
    before = table.read_bytes()
    table.write_bytes(before.replace(b"0.png,,", b"0.png,0,"))
    press(page, "y")
    expect(page.locator("#label-status")).to_contain_text("was filled elsewhere meanwhile, with '0'")
    assert table.read_bytes() == before.replace(b"0.png,,", b"0.png,0,")
    press(page, "y")
    expect(page.locator("#standing")).to_have_text("1 of 8 answered, 1 filled elsewhere")
    table.write_bytes(before)
    page.keyboard.press("s")
    expect(page.get_by_role("alert")).to_contain_text("1 answer is no longer in the label file")
    page.get_by_role("button", name="Write them now").click()
    expect(page.get_by_role("alert")).to_be_hidden()
    assert b"0.png,,1" in table.read_bytes()


def test_nobody_answers_before_the_photo_is_there(opened, serving, queue: LabelQueue, table: Path) -> None:
    held = []
    page = opened(serving(queue=queue), "#label")
    page.route("**/label/pictures/*-2", lambda route: held.append(route))
    press(page, "y")
    expect(page.locator("#standing")).to_have_text("1 of 8 answered")
    press(page, "n")
    expect(page.locator("#photo-caption")).to_contain_text("1.png, row 3")
    before = table.read_bytes()
    expect(page.get_by_role("button", name="Yes")).to_be_disabled()
    expect(page.get_by_role("button", name="Skip")).to_be_enabled()
    assert page.evaluate("document.getElementById('photo').naturalWidth") == 0
    page.keyboard.press("y")
    expect(page.locator("#standing")).to_have_text("2 of 8 answered")
    assert table.read_bytes() == before
    for route in held:
        route.continue_()
    press(page, "y")
    expect(page.locator("#standing")).to_have_text("3 of 8 answered")


def test_everything_is_reached_by_keyboard(opened, serving, queue: LabelQueue) -> None:
    page = opened(serving(queue=queue))
    expect(page.locator("#views")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    expect(page.get_by_text("Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#files")).to_be_focused()
    page.get_by_role("link", name="Label").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#question")).to_be_visible()
    expect(page.get_by_role("link", name="Label")).to_have_attribute("aria-current", "page")
    for name in ("Yes", "No", "Skip"):
        expect(page.get_by_role("button", name=name)).to_be_enabled()
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()


CONTRAST = """() => {
  const channel = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest(":disabled, .skip")) continue;
    const [one, other] = [parse(getComputedStyle(element).color), behind(element)].map(light);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) bad.push(`${element.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return bad;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, {"width": 1200, "height": 900}])
def test_it_fits_and_can_be_read(opened, serving, queue: LabelQueue, scheme: str, viewport) -> None:
    page = opened(serving(runs=2, queue=queue), viewport=viewport, color_scheme=scheme)
    page.set_input_files("#files", images(0))
    expect(page.locator(".maps canvas")).to_have_count(4)
    assert fits(page)
    assert page.evaluate(CONTRAST) == []
    page.get_by_role("link", name="Label").click()
    expect(page.locator("#photo")).to_be_visible()
    assert fits(page)
    assert page.evaluate(CONTRAST) == []
    small = page.evaluate(
        "[...document.querySelectorAll('.answers button')].filter(b => b.getBoundingClientRect().height < 44).length"
    )
    assert small == 0


def test_controls_have_names(opened, serving, queue: LabelQueue) -> None:
    page = opened(serving(queue=queue))
    page.set_input_files("#files", images(0))
    expect(page.locator("article table")).to_have_count(1)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, a, [role=img], img, progress")].filter(e =>
             !(e.textContent.trim() || e.getAttribute("aria-label") || e.labels?.length || e.hasAttribute("alt"))
           ).map(e => e.outerHTML)"""
    )
    assert nameless == []
    assert page.locator("h1").count() == 1
    assert page.evaluate("document.documentElement.lang") == "en"
    for place in ("#look-status", "#label-status"):
        expect(page.locator(place)).to_have_attribute("role", "status")
