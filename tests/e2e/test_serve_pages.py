"""The page in Chromium: images, thresholds, maps, two runs, and the labelling queue by keyboard.

Where there is no Chromium these are skipped, but not in CI, which installs it: there they fail.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from promptmlr.web.labelling import LabelQueue
from web_support import Served, queue_of, scene_png
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
    return queue_of(table)


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


def choose(page: Page, mode: str) -> None:
    page.get_by_role("group", name="How to ask").get_by_role("button", name=mode).click()


def single(opened, served: Served, **options) -> Page:
    """The page, asking one question after the other."""
    page = opened(served, "#label", **options)
    choose(page, "One question")
    expect(page.locator("#question")).to_contain_text("in this image?")
    return page


def press(page: Page, key: str) -> None:
    """Answer, as soon as the photo is there."""
    expect(page.locator("[data-answer=present]")).to_be_enabled()
    page.keyboard.press(key)


def standing(page: Page, text: str) -> None:
    expect(page.locator("#standing")).to_have_text(text)


def test_a_grid_is_confirmed_by_one_key(opened, serving, queue: LabelQueue, table: Path) -> None:
    page = opened(serving(queue=queue), "#label")
    expect(page.get_by_role("heading", name="Where is “tree”?")).to_be_visible()
    tiles = page.locator(".tile")
    expect(tiles).to_have_count(4)
    expect(page.get_by_role("button", name="Confirm")).to_be_enabled()
    assert all(page.eval_on_selector_all(".tile img", "images => images.map(image => image.naturalWidth > 0)"))
    expect(tiles.nth(1)).to_have_attribute("aria-label", "2, 1.png: no, 50 %")
    tiles.nth(1).click()
    expect(tiles.nth(1)).to_contain_text("yes")
    tiles.nth(2).click(click_count=2)
    expect(tiles.nth(2)).to_contain_text("unsure")
    page.keyboard.press("ArrowRight")
    expect(tiles.nth(3)).to_be_focused()
    page.keyboard.press("Space")
    expect(tiles.nth(3)).to_contain_text("yes")
    assert (
        table.read_bytes().count(b"1") == 1 + 0
    )  # the name of a file: nothing is written before the page is confirmed
    page.keyboard.press("Enter")
    expect(page.locator("#label-status")).to_have_text("tree in 4 images: 2 present, 1 absent, 1 skipped.")
    assert table.read_bytes() == b"image,tree,cat\r\n0.png,0,\r\n1.png,1,\r\n2.png,,\r\n3.png,1,\r\n"
    expect(page.locator("#question")).to_have_text("Where is “cat”?")
    expect(tiles.first).to_be_focused()
    page.keyboard.press("u")
    expect(page.locator("#question")).to_have_text("Where is “tree”?")
    expect(tiles.nth(3)).to_contain_text("yes")
    assert table.read_bytes() == b"image,tree,cat\r\n0.png,,\r\n1.png,,\r\n2.png,,\r\n3.png,,\r\n"
    page.keyboard.press("y")
    page.keyboard.press("Enter")
    expect(page.locator("#question")).to_have_text("Where is “cat”?")
    page.get_by_label("Class").select_option("tree")
    expect(page.locator("#question")).to_contain_text("Nothing of this is left")
    page.get_by_label("Class").select_option("cat")
    expect(page.get_by_role("button", name="Confirm")).to_be_enabled()
    page.keyboard.press("Enter")
    expect(page.locator("#question")).to_have_text("That was all")
    assert table.read_bytes() == b"image,tree,cat\r\n0.png,1,0\r\n1.png,1,0\r\n2.png,1,0\r\n3.png,1,0\r\n"


def test_a_grid_shows_where_its_class_is_only_when_asked(opened, serving, queue: LabelQueue, table: Path) -> None:
    page = opened(serving(queue=queue), "#label")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/maps" in request.url else None)
    expect(page.get_by_role("button", name="Confirm")).to_be_enabled()
    tiles, maps, where = page.locator(".tile"), page.locator(".tile canvas"), page.get_by_role("button", name="Where?")
    tiles.nth(2).focus()
    assert asked == []
    page.keyboard.press("m")
    expect(maps).to_have_count(4)
    expect(where).to_have_attribute("aria-pressed", "true")
    expect(tiles.nth(2)).to_have_attribute("aria-label", re.compile("3, 2.png: no, 50 %, strongest in row . of 4"))
    assert asked == [url for url in asked if "class=tree" in url]
    tiles.nth(2).click()
    expect(tiles.nth(2)).to_contain_text("yes")
    expect(maps).to_have_count(4)
    where.click()
    expect(maps).to_have_count(0)
    where.click()
    expect(maps).to_have_count(4)
    assert len(asked) == 4  # those that are there already are not asked for again
    page.keyboard.press("Enter")
    expect(page.locator("#question")).to_have_text("Where is “cat”?")
    expect(maps).to_have_count(0)
    assert table.read_bytes() == b"image,tree,cat\r\n0.png,0,\r\n1.png,0,\r\n2.png,1,\r\n3.png,0,\r\n"


def test_maps_of_a_page_that_is_gone_are_not_asked_for(opened, serving, queue: LabelQueue) -> None:
    page = opened(serving(queue=queue), "#label")
    asked: list[str] = []

    def slow(route) -> None:
        asked.append(route.request.url)
        page.wait_for_timeout(300)
        route.continue_()

    page.route("**/maps?*", slow)
    expect(page.get_by_role("button", name="Confirm")).to_be_enabled()
    page.keyboard.press("m")
    page.keyboard.press("Enter")
    expect(page.locator("#question")).to_have_text("Where is “cat”?")
    page.wait_for_timeout(1500)
    assert len(asked) == 2


def test_an_image_with_its_classes_as_toggles(opened, serving, queue: LabelQueue, table: Path) -> None:
    page = opened(serving(queue=queue), "#label", expected="Canvas2D")
    choose(page, "One image")
    expect(page.get_by_role("heading", name="What is in this image?")).to_be_visible()
    toggles = page.locator(".toggle")
    expect(toggles).to_have_count(2)
    expect(page.get_by_role("button", name="Confirm")).to_be_enabled()
    frame, photo = page.locator("#page .frame").bounding_box(), page.locator("#page img")
    assert photo.evaluate("image => image.naturalWidth") == 96
    assert photo.bounding_box()["height"] == frame["height"] > 300  # a small picture fills the space there is
    toggles.nth(1).click()
    expect(toggles.nth(1)).to_contain_text("yes")
    page.get_by_role("button", name="Where?").click()
    expect(page.get_by_role("img", name=re.compile("presence of cat: strongest in row"))).to_be_visible()
    page.keyboard.press("m")
    expect(page.locator(".where")).to_be_hidden()
    toggles.nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#label-status")).to_have_text("0.png: 1 present, 1 absent.")
    assert table.read_bytes().splitlines()[1] == b"0.png,0,1"
    expect(page.locator("#how")).to_contain_text("1.png, row 3")


def test_single_questions_by_keyboard_write_the_file(opened, serving, queue: LabelQueue, table: Path) -> None:
    page = single(opened, serving(queue=queue))
    expect(page.get_by_role("heading", name="Is “tree” in this image?")).to_be_visible()
    expect(page.locator("#how")).to_have_text("0.png, row 2; the run says 50 %.")
    standing(page, "0 answered, 8 to go")
    press(page, "y")
    expect(page.locator("#question")).to_have_text("Is “cat” in this image?")
    expect(page.locator("#label-status")).to_have_text("tree in 0.png: present.")
    assert table.read_bytes() == b"image,tree,cat\r\n0.png,1,\r\n1.png,,\r\n2.png,,\r\n3.png,,\r\n"
    press(page, "n")
    expect(page.locator("#how")).to_contain_text("1.png, row 3")
    page.keyboard.press("s")
    standing(page, "2 answered, 5 to go; 1 skipped")
    page.keyboard.press("u")
    page.keyboard.press("Control+n")
    standing(page, "2 answered, 6 to go")
    page.keyboard.press("u")
    expect(page.locator("#question")).to_have_text("Is “cat” in this image?")
    assert table.read_bytes() == b"image,tree,cat\r\n0.png,1,\r\n1.png,,\r\n2.png,,\r\n3.png,,\r\n"
    page.get_by_role("button", name="No N").click()
    standing(page, "2 answered, 6 to go")
    page.get_by_label("Single keys answer").uncheck()
    press(page, "y")
    page.get_by_label("Single keys answer").check()
    for number in range(3, 9):
        press(page, "y")
        standing(page, f"{number} answered, {8 - number} to go")
    expect(page.locator("#question")).to_have_text("That was all")
    assert table.read_bytes() == b"image,tree,cat\r\n0.png,1,0\r\n1.png,1,1\r\n2.png,1,1\r\n3.png,1,1\r\n"


def test_two_tabs_are_asked_about_different_cells(opened, serving, queue: LabelQueue, table: Path) -> None:
    served = serving(queue=queue)
    first, second = single(opened, served), single(opened, served, viewport=PHONE)
    seen = [page.locator("#question").inner_text() + page.locator("#how").inner_text() for page in (first, second)]
    assert seen[0] != seen[1]
    before = seen[0]
    first.reload()
    expect(first.locator("#how")).to_contain_text("0.png")
    assert first.locator("#question").inner_text() + first.locator("#how").inner_text() == before
    while "in this image" in first.locator("#question").inner_text():
        for page in (first, second):
            if "in this image" in page.locator("#question").inner_text():
                asked = page.locator("#question").inner_text() + page.locator("#how").inner_text()
                press(page, "y")
                page.wait_for_function(
                    "asked => document.getElementById('question').innerText + document.getElementById('how').innerText"
                    " !== asked",
                    arg=asked,
                )
    assert table.read_bytes() == b"image,tree,cat\r\n0.png,1,1\r\n1.png,1,1\r\n2.png,1,1\r\n3.png,1,1\r\n"


def test_random_cells_are_marked(opened, serving, table: Path) -> None:
    page = opened(serving(queue=queue_of(table, random_share=1.0)), "#label")
    expect(page.locator(".tile .random")).to_have_count(4)
    expect(page.locator(".tile").first).to_have_attribute("aria-label", re.compile("drawn at random"))
    choose(page, "One question")
    expect(page.locator("#how")).to_contain_text("drawn at random")


def test_a_new_ranking_does_not_move_the_page(opened, serving, queue: LabelQueue, table: Path) -> None:
    page = opened(serving(queue=queue), "#label")
    expect(page.locator(".tile")).to_have_count(4)
    expect(page.get_by_role("button", name="Confirm")).to_be_enabled()  # all pictures are there
    page.locator(".tile").nth(2).click()
    shown = page.locator("#page").inner_html()
    queue.propose(queue_of(table, [("3.png", "cat", 0.9), ("2.png", "tree", 0.8)])._proposals, 5)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # as if one came back to the tab
    expect(page.locator("#standing")).to_contain_text("ranked with 5 answers")
    assert page.locator("#page").inner_html() == shown


def test_an_answer_during_a_sign_of_life_is_not_lost(opened, serving, queue: LabelQueue, table: Path) -> None:
    page, held = single(opened, serving(queue=queue)), []
    expect(page.locator("[data-answer=present]")).to_be_enabled()
    page.route("**/label", lambda route: held.append(route))
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(100)
    page.keyboard.press("y")
    assert len(held) == 1
    held[0].continue_()
    standing(page, "1 answered, 7 to go")
    assert b"0.png,1," in table.read_bytes()


def test_a_page_of_a_service_that_ended_answers_nothing(opened, serving, queue: LabelQueue, table: Path) -> None:
    page = single(opened, serving(queue=queue), expected="409")
    expect(page.locator("#question")).to_have_text("Is “tree” in this image?")
    before = table.read_bytes()
    again = queue_of(table, [("3.png", "cat", 0.5)])
    vars(queue).update(vars(again))  # what a service that is started again on this port would ask
    press(page, "y")
    expect(page.locator("#label-status")).to_contain_text("nothing was written: the service was started again")
    assert table.read_bytes() == before
    expect(page.locator("#how")).to_contain_text("3.png, row 5")
    press(page, "n")
    expect(page.locator("#standing")).to_contain_text("1 answered")
    assert b"3.png,,0" in table.read_bytes()


def test_labelling_while_others_write_the_file(opened, serving, queue: LabelQueue, table: Path) -> None:
    page = single(opened, serving(queue=queue))
    expect(page.locator("#question")).to_have_text("Is “tree” in this image?")
    before = table.read_bytes()
    table.write_bytes(before.replace(b"0.png,,", b"0.png,0,"))
    press(page, "y")
    expect(page.locator("#label-status")).to_contain_text("not written, as others have answered meanwhile")
    assert table.read_bytes() == before.replace(b"0.png,,", b"0.png,0,")
    press(page, "y")
    standing(page, "1 answered, 6 to go; 1 filled elsewhere")
    table.write_bytes(before)
    page.keyboard.press("s")
    expect(page.get_by_role("alert")).to_contain_text("1 answer is no longer in the label file")
    page.get_by_role("button", name="Write them now").click()
    expect(page.get_by_role("alert")).to_be_hidden()
    assert b"0.png,,1" in table.read_bytes()


def test_nobody_answers_before_the_photo_is_there(opened, serving, queue: LabelQueue, table: Path) -> None:
    held = []
    page = opened(serving(queue=queue))
    page.route("**/label/pictures/*-1?size=large", lambda route: held.append(route))
    page.get_by_role("link", name="Label").click()
    choose(page, "One question")
    for number, key in enumerate("yn", start=1):
        press(page, key)
        expect(page.locator("#standing")).to_contain_text(f"{number} answered")
    expect(page.locator("#how")).to_contain_text("1.png, row 3")
    before = table.read_bytes()
    expect(page.get_by_role("button", name="Yes")).to_be_disabled()
    expect(page.get_by_role("button", name="Unsure")).to_be_enabled()
    page.keyboard.press("y")
    assert page.locator("#page img").evaluate("image => image.naturalWidth") == 0
    expect(page.locator("#standing")).to_contain_text("2 answered")
    assert table.read_bytes() == before
    for route in held:
        route.continue_()
    press(page, "y")
    expect(page.locator("#standing")).to_contain_text("3 answered")


def test_a_picture_that_cannot_be_read_is_no_answer(opened, serving, queue: LabelQueue, table: Path) -> None:
    (table.parent / "2.png").write_bytes(b"no image")
    page = opened(serving(queue=queue), "#label", expected="404")
    expect(page.locator(".tile .broken")).to_have_text("2.png: not an image, or damaged at its start")
    expect(page.locator(".tile").nth(2)).to_be_disabled()
    expect(page.get_by_role("button", name="Confirm")).to_be_enabled()
    page.keyboard.press("y")
    page.keyboard.press("Enter")
    expect(page.locator("#label-status")).to_have_text("tree in 4 images: 3 present, 0 absent, 1 skipped.")
    assert b"2.png,,\r" in table.read_bytes()


def test_pictures_of_a_full_service_are_waited_for(opened, serving, queue: LabelQueue) -> None:
    served = serving(queue=queue, concurrency=1)
    served.service._taken = 1
    page = opened(served, "#label", expected="429")
    expect(page.locator(".tile")).to_have_count(4)
    page.wait_for_timeout(700)
    expect(page.get_by_role("button", name="Confirm")).to_be_disabled()
    served.service._taken = 0
    expect(page.get_by_role("button", name="Confirm")).to_be_enabled()


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
    expect(page.get_by_role("button", name="One class")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("3")
    expect(page.locator("#question")).to_be_focused()
    for name in ("Yes", "No N", "Unsure", "Where?"):
        expect(page.get_by_role("button", name=name)).to_be_enabled()
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    page.keyboard.press("2")
    expect(page.locator(".toggle")).to_have_count(2)
    page.keyboard.press("ArrowDown")
    expect(page.locator(".toggle").first).to_be_focused()


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
    for mode in ("One class", "One image", "One question"):
        choose(page, mode)
        expect(page.locator("#page img").first).to_be_visible()
        assert fits(page)
        assert page.evaluate(CONTRAST) == []
        small = page.evaluate(
            "[...document.querySelectorAll('#label button')].filter(b => b.checkVisibility() &&"
            " b.getBoundingClientRect().height < 44).length"
        )
        assert small == 0


NAMELESS = """() => [...document.querySelectorAll("button, input, select, a, [role=img], img, progress")].filter(e =>
  !(e.textContent.trim() || e.getAttribute("aria-label") || e.labels?.length || e.hasAttribute("alt"))
).map(e => e.outerHTML)"""


def test_controls_have_names(opened, serving, queue: LabelQueue) -> None:
    page = opened(serving(queue=queue))
    page.set_input_files("#files", images(0))
    expect(page.locator("article table")).to_have_count(1)
    assert page.evaluate(NAMELESS) == []
    page.get_by_role("link", name="Label").click()
    expect(page.locator(".tile")).to_have_count(4)
    assert page.evaluate(NAMELESS) == []
    assert page.locator("h1").count() == 1
    assert page.evaluate("document.documentElement.lang") == "en"
    for place in ("#look-status", "#label-status"):
        expect(page.locator(place)).to_have_attribute("role", "status")
