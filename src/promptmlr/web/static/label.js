// The labelling queue: one cell at a time, by button or key.
import { ask, byId, percent } from "./shared.js";

const KEYS = { y: "present", n: "absent", s: "skip", u: "undo" };
const POLL = 2000;  // milliseconds, while suggestions are ranked

let queue = null;
let busy = false;
let pictured = null;  // the id of the question whose photo is on the page; before that nobody can say yes or no

const buttons = () => [...document.querySelectorAll("[data-answer]")];
const visible = () => !byId("label").hidden;

export function startLabelling() {
  for (const button of buttons()) button.addEventListener("click", () => answer(button.dataset.answer));
  byId("write").addEventListener("click", () => send("label/write", {}));
  addEventListener("keydown", event => {
    const wanted = KEYS[event.key.toLowerCase()];
    if (!wanted || !visible() || !byId("keys").checked || event.repeat) return;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest("input:not([type=checkbox]), textarea, select")) return;
    event.preventDefault();
    answer(wanted);
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && visible()) showLabelling(); });
}

export async function showLabelling() {
  if (busy) return;
  try {
    show(await ask("label"));
    if (queue.state === "ranking" && visible()) setTimeout(() => { if (visible()) showLabelling(); }, POLL);
  } catch (error) {
    byId("label-status").textContent = error.message;
  }
}

function answer(wanted) {
  if (busy || !queue) return;
  if (wanted === "undo") {
    if (queue.undoable) send("label/undo", {});
  } else if (queue.question && (wanted === "skip" || pictured === queue.question.id)) {
    send("label/answers", { question: queue.question.id, answer: wanted });
  }
}

async function send(path, body) {
  busy = true;
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  try {
    const done = await ask(path, options, 3);
    show(done.queue);
    byId("label-status").textContent = `${done.message}.`;
  } catch (error) {
    busy = false;
    if (error.status === 409) await showLabelling();
    byId("label-status").textContent = error.message;
  } finally {
    busy = false;
  }
}

function show(standing) {
  const before = queue?.question?.id;
  queue = standing;
  const { question, total, answered, skipped, filled, state } = queue;
  const parts = [`${answered} of ${total} answered`];
  if (skipped) parts.push(`${skipped} skipped`);
  if (filled) parts.push(`${filled} filled elsewhere`);
  byId("standing").textContent = state === "ranking" || !total ? "" : parts.join(", ");
  byId("progress").max = Math.max(total, 1);
  byId("progress").value = answered + skipped + filled;
  byId("progress").hidden = state === "ranking" || !total;
  byId("picture").hidden = !question;
  enableButtons();
  if (question) {
    byId("question").textContent = `Is “${question.class}” in this image?`;
    if (question.id !== before || !byId("photo").src) showPicture(question);
  } else {
    byId("question").textContent = queue.problem ? "Something is in the way" : state === "ranking"
      ? "Looking for what to ask …" : total ? "That was all" : "There is nothing to ask";
  }
  const notes = [];
  if (queue.problem) notes.push(queue.problem);
  else if (state === "ranking") notes.push("The run goes through your images; this may take a while.");
  byId("label-status").textContent = notes.join(" ");
  const { waiting, lost } = queue, unwritten = [];
  const count = number => (number === 1 ? "1 answer is" : `${number} answers are`);
  if (waiting) unwritten.push(`${count(waiting)} kept beside the label file and not yet in it.`);
  if (lost) unwritten.push(`${count(lost)} no longer in the label file: another program may have saved an older copy.`);
  byId("unwritten").hidden = !unwritten.length;
  if (byId("unwritten-text").textContent !== unwritten.join(" ")) byId("unwritten-text").textContent = unwritten.join(" ");
}

function enableButtons() {
  const { question, undoable } = queue, seen = question && pictured === question.id;
  for (const button of buttons()) {
    const wanted = button.dataset.answer;
    button.disabled = !(wanted === "undo" ? undoable : wanted === "skip" ? question : seen);
  }
}

function showPicture(question) {
  const photo = byId("photo"), seen = question.probability;
  photo.removeAttribute("src");  // the one before it would stay until this one is there
  photo.onload = () => {
    pictured = question.id;
    enableButtons();
  };
  photo.alt = `Image ${question.image}`;
  photo.onerror = async () => {
    const response = await fetch(photo.src).catch(() => null);
    const told = await response?.json().catch(() => ({}));
    byId("label-status").textContent = told?.error ?? "the image cannot be shown";
  };
  photo.src = `label/pictures/${question.id}`;
  byId("photo-caption").textContent = `${question.image}, row ${question.row}`
    + (seen === null ? "" : `. The run says ${percent(seen)}.`);
  if (queue.following !== null) new Image().src = `label/pictures/${queue.following}`;
}
