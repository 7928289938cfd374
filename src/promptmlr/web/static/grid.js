// One class in many images: all proposed answers are shown, the wrong ones are clicked, one key confirms the page.
import { answerButton, turned, WORDS } from "./answering.js";
import { colours, presenceMap, strongest } from "./maps.js";
import { mapsOf, photo } from "./pictures.js";
import { element, percent } from "./shared.js";

const AT_ONCE = 2;  // maps that are asked for together, so that pictures and answers find a place between them

export function drawGrid(page, answer) {
  const answers = page.cells.map(cell => cell.proposed), name = page.cells[0].class;
  const seen = page.cells.map(() => "");  // where, in words, once a map was asked for
  let coming = page.cells.length;
  const confirm = answerButton("Confirm the page", "Enter", "confirm", () => send());
  const send = () => { if (!coming) answer(answers); };
  confirm.disabled = true;
  const say = (tile, i) => {
    const cell = page.cells[i];
    tile.dataset.is = answers[i];
    tile.querySelector(".word").textContent = WORDS[answers[i]];
    const more = [cell.probability === null ? "" : percent(cell.probability), cell.random ? "drawn at random" : ""].filter(Boolean);
    const aloud = [`${i + 1}, ${cell.image}: ${WORDS[answers[i]]}`, ...more, seen[i]];
    tile.setAttribute("aria-label", aloud.filter(Boolean).join(", "));
    tile.title = `${cell.image}${cell.row === null ? "" : `, row ${cell.row}`}: ${more.join(", ")}`;
  };
  const tiles = page.cells.map((cell, i) => {
    const tile = element("button", { type: "button", className: "tile" });
    tile.append(photo(cell, "small", there => {
      if (!there) answers[i] = "skip";  // nobody can say of a picture that is not there
      tile.disabled = !there;
      say(tile, i);
      if (!--coming) confirm.disabled = false;
    }), element("span", { className: "word" }));
    if (cell.random) tile.append(element("span", { className: "random", textContent: "random" }));
    tile.addEventListener("click", () => { answers[i] = turned(answers[i], cell.proposed); say(tile, i); });
    say(tile, i);
    return tile;
  });
  const [map, legend] = mapButton(tiles, name, async i => {
    const [answer, image] = await mapsOf(page.cells[i], "small");
    seen[i] = strongest(answer.presence);
    say(tiles[i], i);
    return presenceMap(answer, image)[0];
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
      answerButton("All no", "N", "all-absent", () => all("absent"), true), map, legend],
    keys: {
      enter: send, y: () => all("present"), n: () => all("absent"), m: () => map.click(),
      arrowright: move(1), arrowleft: move(-1), arrowdown: () => move(columns())(), arrowup: () => move(-columns())(),
    },
  };
}

// The button that shows where the class is seen, over every tile from the one that is looked at on, and the photos again.
function mapButton(tiles, name, mapOf) {
  const legend = colours(`“${name}” in each image`, "less", "more");
  const places = tiles.map(() => element("span", { className: "where" }));
  let turn = 0;  // whoever asks in an earlier one stops
  const show = async (i, mine) => {
    if (mine !== turn || !legend.isConnected || tiles[i].disabled || places[i].hasChildNodes()) return;
    try {
      places[i].replaceChildren(await mapOf(i));
    } catch (error) {
      places[i].replaceChildren(element("span", { className: "broken", textContent: error.message }));
    }
  };
  const button = answerButton("Where?", "M", "map", () => {
    const wanted = legend.hidden, mine = ++turn;
    legend.hidden = !wanted;
    button.setAttribute("aria-pressed", String(wanted));
    tiles.forEach((tile, i) => (wanted ? tile.querySelector(".frame").append(places[i]) : places[i].remove()));
    if (!wanted) return;
    const first = Math.max(tiles.findIndex(tile => tile.matches(":focus, :hover")), 0);
    const left = [...tiles.keys()].sort((a, b) => Math.abs(a - first) - Math.abs(b - first));
    const next = async () => { while (left.length) await show(left.shift(), mine); };
    for (let n = 0; n < AT_ONCE; n++) next();
  }, true);
  legend.hidden = true;
  button.setAttribute("aria-pressed", "false");
  return [button, legend];
}
