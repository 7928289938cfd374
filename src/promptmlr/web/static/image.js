// One image: a single question about it, or all its classes as toggles; and where a class is seen, when that is asked.
import { answerButton, turned, WORDS } from "./answering.js";
import { presenceMap } from "./maps.js";
import { mapsOf, photo } from "./pictures.js";
import { element, percent } from "./shared.js";

export function drawSingle(page, answer) {
  const [cell] = page.cells;
  const give = wanted => () => { if (seen || wanted === "skip") answer([wanted]); };
  let seen = false;  // before the picture is there nobody can say yes or no
  const buttons = [answerButton("Yes", "Y", "present", give("present")), answerButton("No", "N", "absent", give("absent")),
    answerButton("Unsure", "S", "skip", give("skip"), true)];
  buttons[0].disabled = buttons[1].disabled = true;
  const large = photo(cell, "large", shown => {
    seen = shown;
    buttons[0].disabled = buttons[1].disabled = !shown;
  });
  const [map, place] = mapButton(() => cell);
  return {
    question: `Is “${cell.class}” in this image?`,
    how: said(cell, [cell.probability === null ? "" : `the run says ${percent(cell.probability)}`]),
    parts: [element("div", { className: "seen" }, large, place)],
    buttons: [...buttons, map],
    keys: { y: give("present"), n: give("absent"), s: give("skip"), m: () => map.click() },
  };
}

export function drawImage(page, answer) {
  const answers = page.cells.map(cell => cell.proposed);
  let seen = null, last = 0;
  const send = () => { if (seen !== null) answer(answers); };
  const confirm = answerButton("Confirm the image", "Enter", "confirm", send);
  confirm.disabled = true;
  const large = photo(page.cells[0], "large", shown => {
    seen = shown;
    confirm.disabled = false;
    if (shown) return;
    answers.fill("skip");
    toggles.forEach((toggle, i) => { toggle.disabled = true; say(toggle, i); });
  });
  const say = (toggle, i) => {
    toggle.dataset.is = answers[i];
    toggle.querySelector(".word").textContent = WORDS[answers[i]];
  };
  const toggles = page.cells.map((cell, i) => {
    const more = cell.probability === null ? "" : percent(cell.probability);
    const toggle = element("button", { type: "button", className: "toggle" },
      element("span", { className: "name", textContent: cell.class }), element("span", { className: "share", textContent: more }),
      element("span", { className: "word" }));
    toggle.addEventListener("click", () => { answers[i] = turned(answers[i], cell.proposed); last = i; say(toggle, i); });
    toggle.addEventListener("focus", () => { last = i; });
    say(toggle, i);
    return toggle;
  });
  const [map, place] = mapButton(() => page.cells[last]);
  const move = by => () => {
    const at = toggles.indexOf(document.activeElement);
    toggles[Math.min(Math.max(at + by, 0), toggles.length - 1)].focus();
  };
  return {
    question: "What is in this image?",
    how: said(page.cells[0], ["click the wrong answers, once for the opposite, twice for “unsure”, then confirm"]),
    parts: [element("div", { className: "seen" }, large, place), element("div", { className: "toggles" }, ...toggles)],
    buttons: [confirm, map],
    keys: { enter: send, m: () => map.click(), arrowdown: move(1), arrowup: move(-1), arrowright: move(1), arrowleft: move(-1) },
  };
}

// The button that shows where a class is seen, in the place of the picture, and shows the picture again.
function mapButton(cellNow) {
  const place = element("div", { className: "where", hidden: true });
  const button = answerButton("Where?", "M", "map", async () => {
    const cell = cellNow(), again = !place.hidden && place.dataset.class === cell.class;
    place.hidden = again;
    button.setAttribute("aria-pressed", String(!again));
    if (again) return;
    place.dataset.class = cell.class;
    try {
      place.replaceChildren(...presenceMap(...await mapsOf(cell, "large")));
    } catch (error) {
      place.replaceChildren(element("p", { className: "problem", textContent: error.message }));
    }
  }, true);
  button.setAttribute("aria-pressed", "false");
  return [button, place];
}

function said(cell, more) {
  const parts = [cell.image + (cell.row === null ? "" : `, row ${cell.row}`), ...more, cell.random ? "drawn at random" : ""];
  return `${parts.filter(Boolean).join("; ")}.`;
}
