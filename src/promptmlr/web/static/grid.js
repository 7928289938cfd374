// One class in many images: all proposed answers are shown, the wrong ones are clicked, one key confirms the page.
import { answerButton, turned, WORDS } from "./answering.js";
import { photo } from "./pictures.js";
import { element, percent } from "./shared.js";

export function drawGrid(page, answer) {
  const answers = page.cells.map(cell => cell.proposed), name = page.cells[0].class;
  let coming = page.cells.length;
  const confirm = answerButton("Confirm the page", "Enter", "confirm", () => send());
  const send = () => { if (!coming) answer(answers); };
  confirm.disabled = true;
  const tiles = page.cells.map((cell, i) => {
    const tile = element("button", { type: "button", className: "tile" });
    const word = element("span", { className: "word" });
    tile.append(photo(cell, "small", seen => {
      if (!seen) answers[i] = "skip";  // nobody can say of a picture that is not there
      tile.disabled = !seen;
      say();
      if (!--coming) confirm.disabled = false;
    }), word);
    if (cell.random) tile.append(element("span", { className: "random", textContent: "random" }));
    const say = () => {
      tile.dataset.is = answers[i];
      word.textContent = WORDS[answers[i]];
      const more = [cell.probability === null ? "" : `${percent(cell.probability)}`, cell.random ? "drawn at random" : ""];
      tile.setAttribute("aria-label", [`${i + 1}, ${cell.image}: ${WORDS[answers[i]]}`, ...more.filter(Boolean)].join(", "));
      tile.title = `${cell.image}${cell.row === null ? "" : `, row ${cell.row}`}: ${more.filter(Boolean).join(", ")}`;
    };
    tile.addEventListener("click", () => { answers[i] = turned(answers[i], cell.proposed); say(); });
    say();
    return tile;
  });
  const all = wanted => tiles.forEach((tile, i) => { if (!tile.disabled && answers[i] !== wanted) turnTo(tile, i, wanted); });
  const turnTo = (tile, i, wanted) => { while (answers[i] !== wanted) tile.click(); };
  const move = by => () => {
    const at = tiles.indexOf(document.activeElement);
    tiles[Math.min(Math.max(at + by, 0), tiles.length - 1)].focus();
  };
  const columns = () => getComputedStyle(tiles[0].parentElement).gridTemplateColumns.split(" ").length;
  return {
    question: `Where is “${name}”?`,
    how: `Each image says what is proposed. Click the wrong ones: once for the opposite, twice for “unsure”. Then confirm.`,
    parts: tiles,
    buttons: [confirm,
      answerButton("All yes", "Y", "all-present", () => all("present"), true),
      answerButton("All no", "N", "all-absent", () => all("absent"), true)],
    keys: {
      enter: send, y: () => all("present"), n: () => all("absent"),
      arrowright: move(1), arrowleft: move(-1), arrowdown: () => move(columns())(), arrowup: () => move(-columns())(),
    },
  };
}
