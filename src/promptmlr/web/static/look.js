// Images in, labels out: tables of probabilities, a threshold, maps, and two runs side by side.
import { classMaps } from "./maps.js";
import { ask, byId, element, percent } from "./shared.js";

const AT_ONCE = 2;  // requests
const SHOWN = 8;  // classes, unless all are asked for
const PATIENCE = 30;  // times to come back where there is no place

let service;
let threshold = null;  // of every class; null: each its own
const shown = [];  // images with their answers
const waiting = [];
let running = 0, failed = 0;

const cut = (run, column) => (threshold === null ? run.thresholds[column] : threshold);
const isLabel = (run, column, probability) => probability > cut(run, column);

export function startLooking(described) {
  service = described;
  const { max_bytes: bytes, max_pixels: pixels } = service.limits;
  byId("most").textContent = `At most ${Math.floor(bytes / 2 ** 20 * 10) / 10} MiB and ${Math.round(pixels / 1e5) / 10} million pixels each.`;
  const drop = byId("drop");
  byId("files").addEventListener("change", event => { add(event.target.files); event.target.value = ""; });
  addEventListener("dragover", event => { event.preventDefault(); drop.classList.add("over"); });
  addEventListener("dragleave", event => { if (!event.relatedTarget) drop.classList.remove("over"); });
  addEventListener("drop", event => {
    event.preventDefault();
    drop.classList.remove("over");
    location.hash = "#look";
    add(event.dataTransfer.files);
  });
  addEventListener("paste", event => { if (event.clipboardData?.files.length) add(event.clipboardData.files); });
  byId("threshold").addEventListener("input", event => choose(Number(event.target.value) / 100));
  byId("own").addEventListener("click", () => choose(null));
  byId("clear").addEventListener("click", clear);
  choose(null);
}

function add(files) {
  for (const file of files) waiting.push(file);
  byId("tuning").hidden = false;
  next();
}

function clear() {
  waiting.length = 0;
  for (const one of shown) URL.revokeObjectURL(one.url);
  shown.length = failed = 0;
  byId("results").replaceChildren();
  byId("tuning").hidden = true;
  byId("files").focus();
  say();
}

function say(more = "") {
  const left = waiting.length + running;
  const parts = left ? [`${left} to go`] : [];
  if (shown.length) parts.push(`${shown.length} recognized`);
  if (failed) parts.push(`${failed} not`);
  byId("look-status").textContent = [parts.join(", "), more].filter(Boolean).join(". ");
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    running++;
    look(waiting.shift()).catch(console.error).finally(() => { running--; say(); next(); });
  }
  say();
}

function form(file) {
  const data = new FormData();
  data.append("images", file, file.name);
  return { method: "POST", body: data };
}

async function look(file) {
  const one = { file, url: URL.createObjectURL(file), place: element("article"), column: 0 };
  one.place.append(element("h3", { textContent: file.name }));
  byId("results").append(one.place);
  try {
    if (file.size > service.limits.max_bytes - 4096) throw new Error("the file is too large for this service");
    one.image = await picture(one.url);
    one.answers = [];
    for (const run of service.runs) {
      const answer = await ask(`predict?run=${encodeURIComponent(run.name)}`, form(file), PATIENCE,
        () => say("Waiting for a place"));
      one.answers.push(answer.images[0]);
    }
  } catch (error) {
    failed++;
    URL.revokeObjectURL(one.url);
    one.place.append(element("p", { className: "problem", textContent: error.message }));
    return;
  }
  shown.push(one);
  draw(one);
  if (one.place === byId("results").firstElementChild) await Promise.all(one.sides.map(side => showMaps(one, side, side.order[0])));
}

// The image as the browser shows it; null where it cannot (TIFF, for one).
function picture(url) {
  return new Promise(done => {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = () => done(null);
    image.src = url;
  });
}

function draw(one) {
  const photo = one.image ? Object.assign(one.image, { className: "photo", alt: one.file.name })
    : element("p", { className: "faint", textContent: "This browser cannot show the image itself." });
  const best = new Map();
  for (const answer of one.answers) {
    for (const [name, value] of Object.entries(answer.probabilities)) best.set(name, Math.max(value, best.get(name) ?? 0));
  }
  one.names = [...best.keys()].sort((a, b) => best.get(b) - best.get(a));
  one.differ = element("p", { className: "differ" });
  const sides = element("div", { className: "sides" });
  one.sides = service.runs.map((run, i) => drawSide(one, run, one.answers[i]));
  if (one.sides.length > 1) {
    for (const side of one.sides) side.place.prepend(side.maps);
    sides.append(...one.sides.map(side => side.place));
    one.place.append(photo, one.differ, sides);
  } else {
    sides.append(element("div", {}, photo, one.sides[0].maps), one.sides[0].place);
    one.place.append(sides);
  }
  decide(one);
}

function drawSide(one, run, answer) {
  const side = { run, answer, maps: element("div"), rows: new Map(), place: element("div") };
  side.order = one.names.filter(name => name in answer.probabilities);
  const body = element("tbody");
  for (const name of side.order) {
    const column = run.class_names.indexOf(name), value = answer.probabilities[name];
    const button = element("button", { type: "button", textContent: name, title: "Show where" });
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => Promise.all(
      one.sides.filter(other => other.order.includes(name)).map(other => showMaps(one, other, name))));
    const bar = element("div", { className: "bar" }, element("span", { className: "fill" }),
      element("span", { className: "mark-own" }), element("span", { className: "mark" }));
    bar.setAttribute("aria-hidden", "true");
    bar.children[0].style.width = `${100 * value}%`;
    bar.children[1].style.left = `${100 * run.thresholds[column]}%`;
    const row = element("tr", {}, element("th", { scope: "row" }, button), element("td", {}, bar),
      element("td", { className: "percent", textContent: percent(value, 1) }), element("td"));
    side.rows.set(name, { row, button, mark: bar.children[2], verdict: row.lastChild, column, value });
    body.append(row);
  }
  const about = element("span", { textContent: ` ${run.calibrated ? "calibrated" : "not calibrated"}` });
  const head = element("thead", {}, element("tr", {}, ...["Class", "", "Probability", "Label"].map((text, i) =>
    element(i === 1 ? "td" : "th", { textContent: text, scope: "col", className: i === 2 ? "percent" : "" }))));
  const table = element("table", {}, element("caption", {}, run.name, about), head, body);
  side.place.append(table);
  if (side.order.length > SHOWN) {
    const more = element("button", { type: "button", className: "quiet more" });
    const fold = all => {
      side.all = all;
      more.textContent = all ? "Fewer classes" : `All ${side.order.length} classes`;
      more.setAttribute("aria-expanded", String(all));
      unfold(side);
    };
    more.addEventListener("click", () => fold(!side.all));
    side.place.append(more);
    fold(false);
  }
  return side;
}

function unfold(side) {
  side.order.forEach((name, i) => {
    const { row, column, value } = side.rows.get(name);
    row.hidden = !(side.all ?? true) && i >= SHOWN && !isLabel(side.run, column, value);
  });
}

function labelsOf(side) {
  return side.order.filter(name => isLabel(side.run, side.rows.get(name).column, side.rows.get(name).value));
}

// Marks, verdicts and differences, as the threshold is now.
function decide(one) {
  for (const side of one.sides) {
    for (const { row, mark, verdict, column, value } of side.rows.values()) {
      const yes = isLabel(side.run, column, value);
      row.classList.toggle("is-label", yes);
      verdict.textContent = yes ? "✓ yes" : "–";
      mark.style.left = `${100 * cut(side.run, column)}%`;
    }
    unfold(side);
  }
  if (one.sides.length === 2) {
    const [first, second] = one.sides.map(labelsOf), names = one.sides.map(side => side.run.name);
    const parts = [["Both", first.filter(name => second.includes(name))],
      [`Only ${names[0]}`, first.filter(name => !second.includes(name))],
      [`Only ${names[1]}`, second.filter(name => !first.includes(name))]];
    one.differ.textContent = parts.filter(([, found]) => found.length).map(([who, found]) => `${who}: ${found.join(", ")}`)
      .join(". ") || "Neither run gives it a label.";
  }
}

function choose(value) {
  threshold = value;
  const own = value === null;
  byId("threshold-now").textContent = own ? "each class’s own" : `${percent(value)} for all`;
  byId("own").disabled = own;
  byId("threshold").setAttribute("aria-valuetext", byId("threshold-now").textContent);
  shown.forEach(decide);
}

async function showMaps(one, side, name) {
  for (const [other, { button }] of side.rows) button.setAttribute("aria-pressed", String(other === name));
  side.asked = name;
  const path = `maps?class=${encodeURIComponent(name)}&run=${encodeURIComponent(side.run.name)}`;
  try {
    const answer = await ask(path, form(one.file), PATIENCE);
    if (side.asked === name) side.maps.replaceChildren(...classMaps(answer, one.image, side.answer.height / side.answer.width));
  } catch (error) {
    side.maps.replaceChildren(element("p", { className: "problem", textContent: error.message }));
  }
}
