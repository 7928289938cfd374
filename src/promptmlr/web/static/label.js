// The labelling queue: a page of cells at a time, in one of three modes, by button or key.
import { drawGrid } from "./grid.js";
import { drawImage, drawSingle } from "./image.js";
import { picture } from "./pictures.js";
import { ask, byId, element } from "./shared.js";

const MODES = { 1: "grid", 2: "image", 3: "single" };
const DRAW = { grid: drawGrid, image: drawImage, single: drawSingle };
const POLL = 2000;  // milliseconds, while the first ranking is made
const STAY = 60000;  // between two signs of life, which keep the cells of this page from others

let queue = null;  // what the service said last
let shown = null;  // the page that is on the screen, as its mode drew it: { id, keys, answers(), ready }
let busy = false, again = false;
let visiting = false, next = null;  // an answer that is given while the page says that it is there comes after that
let mode = sessionStorage.getItem("mode") ?? "grid";

// Another name in each tab, which is kept when the tab is loaded again.
const who = sessionStorage.getItem("who")
  ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, "0")).join("");
sessionStorage.setItem("who", who);

const visible = () => !byId("label").hidden && !document.hidden;

export function startLabelling(classNames) {
  byId("class").append(new Option("the one that teaches most", ""), ...classNames.map(name => new Option(name)));
  byId("class").addEventListener("change", showLabelling);
  for (const button of document.querySelectorAll("[data-mode]")) {
    button.addEventListener("click", () => choose(button.dataset.mode));
  }
  byId("write").addEventListener("click", () => send("label/write", {}));
  addEventListener("keydown", event => {
    if (!visible() || !byId("keys").checked || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest("input:not([type=checkbox]), textarea, select, dialog")) return;
    const key = event.key.toLowerCase();
    if (key in MODES) choose(MODES[key]);
    else if (key === "u") undo();
    else if (!shown?.keys[key] || (key === "enter" && event.target.closest("a, button:not(.tile):not(.toggle)"))) return;
    else shown.keys[key]();
    event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => { if (visible()) showLabelling(); });
  setInterval(() => { if (visible()) showLabelling(); }, STAY);
}

export async function showLabelling() {
  if (busy) {
    again = true;
    return;
  }
  visiting = true;
  await alone(async () => {
    show(await ask("label", posted({ mode, class: (mode === "grid" && byId("class").value) || null }), 3));
    if (queue.state === "ranking") setTimeout(() => { if (visible()) showLabelling(); }, POLL);
  });
}

// One request at a time; what was wanted meanwhile comes after it.
async function alone(act) {
  let problem = null;
  busy = true;
  try {
    await act();
  } catch (error) {
    problem = error.message;
    again ||= error.status === 404 || error.status === 409;  // the page is no longer this tab's: ask for another
  }
  busy = visiting = false;
  const given = next;
  next = null;
  if (given) await alone(given);
  if (again) {
    again = false;
    await showLabelling();
  }
  if (problem) byId("label-status").textContent = problem;
}

function choose(wanted) {
  if (wanted === mode) return;
  mode = wanted;
  sessionStorage.setItem("mode", mode);
  byId("question").focus({ preventScroll: true });  // so that Enter answers, and does not choose the mode again
  showLabelling();
}

function undo() {
  if (queue?.undoable) send("label/undo", {});
}

function posted(body) {
  const headers = { "Content-Type": "application/json" };
  return { method: "POST", headers, body: JSON.stringify({ who, ...body }) };
}

function answer(answers) {
  if (shown) send("label/answers", { page: shown.id, answers });
}

function send(path, body) {
  const act = async () => {
    const done = await ask(path, posted(body), 3);
    show(done.queue);
    byId("label-status").textContent = `${done.message}.`;
  };
  if (!busy) alone(act);
  else if (visiting) next ??= act;
}

function show(standing) {
  queue = standing;
  for (const button of document.querySelectorAll("[data-mode]")) {
    button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
  }
  byId("of-class").hidden = mode !== "grid";
  showStanding();
  const [page, ...later] = queue.pages;
  if (!page) showNothing();
  else if (page.id !== shown?.id) showPage(page);
  byId("undo").disabled = !queue.undoable;
  for (const next of later) {
    for (const cell of next.cells) picture(cell, next.mode === "grid" ? "small" : "large");  // fetched ahead
  }
}

function showStanding() {
  const { state, answered, at_random: random, skipped, filled, left, ranked_with: learned } = queue;
  const parts = [`${answered.toLocaleString("en")} answered, ${left.toLocaleString("en")} to go`];
  if (random) parts.push(`${random} drawn at random`);
  if (skipped) parts.push(`${skipped} skipped`);
  if (filled) parts.push(`${filled} filled elsewhere`);
  if (learned) parts.push(`ranked with ${learned} answers`);
  const some = state !== "ranking" && answered + skipped + filled + left > 0;
  byId("standing").textContent = some ? parts.join("; ") : "";
  byId("progress").hidden = !some;
  byId("progress").max = Math.max(answered + skipped + filled + left, 1);
  byId("progress").value = answered + skipped + filled;
  byId("label-status").textContent = queue.problem
    ?? (state === "ranking" ? "The run goes through your images; this may take a while." : "");
  const { waiting, lost } = queue, unwritten = [];
  const count = number => (number === 1 ? "1 answer is" : `${number} answers are`);
  if (waiting) unwritten.push(`${count(waiting)} kept beside the label file and not yet in it.`);
  if (lost) unwritten.push(`${count(lost)} no longer in the label file: another program may have saved an older copy.`);
  byId("unwritten").hidden = !unwritten.length;
  if (byId("unwritten-text").textContent !== unwritten.join(" ")) byId("unwritten-text").textContent = unwritten.join(" ");
}

function showNothing() {
  shown = null;
  const { problem, state, answered, left } = queue;
  byId("question").textContent = problem ? "Something is in the way" : state === "ranking" ? "Looking for what to ask …"
    : left ? "Nothing of this is left, or others have it" : answered ? "That was all" : "There is nothing to ask";
  byId("how").textContent = "";
  byId("page").replaceChildren();
  showButtons([]);
}

// A mode draws its page and says: the question, how to answer, its buttons, what keys do, what is answered so far.
function showPage(page) {
  const inside = byId("page").contains(document.activeElement);
  byId("page").className = page.mode;
  const drawn = DRAW[page.mode](page, answer);
  shown = { id: page.id, ...drawn };
  byId("question").textContent = drawn.question;
  byId("how").textContent = drawn.how;
  byId("page").replaceChildren(...drawn.parts);
  showButtons(drawn.buttons);
  if (inside) byId("page").querySelector("button")?.focus({ preventScroll: true });  // who types stays in the page
  if (byId("page").getBoundingClientRect().top < 0) byId("question").scrollIntoView();
}

function showButtons(buttons) {
  const back = element("button", { type: "button", id: "undo", className: "quiet", disabled: !queue.undoable },
    "Undo ", element("kbd", { textContent: "U" }));
  back.setAttribute("aria-keyshortcuts", "U");
  back.addEventListener("click", undo);
  const before = document.activeElement?.closest("#answers") ? document.activeElement.dataset.answer : null;
  byId("answers").replaceChildren(...buttons, back);
  if (before) byId("answers").querySelector(`[data-answer="${before}"]`)?.focus({ preventScroll: true });
}
