// What both views share: asking the service, saying things, and which view is shown.
import { startLabelling, showLabelling } from "./label.js";
import { startLooking } from "./look.js";

export const byId = id => document.getElementById(id);

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export const percent = (value, digits = 0) => `${(100 * value).toFixed(digits)} %`;

// The JSON of an answer; an Error with the service's own sentence otherwise. Where there is no place at the moment, it
// comes back as often as `patience` says.
export async function ask(path, options = {}, patience = 0, onWait = () => {}) {
  for (let turn = 0; ; turn++) {
    let response;
    try {
      response = await fetch(path, options);
    } catch {
      throw new Error("the service does not answer; is it still running?");
    }
    if (response.ok) return response.json();
    if ((response.status === 429 || response.status === 503) && turn < patience) {
      onWait();
      await new Promise(done => setTimeout(done, 1000 * Number(response.headers.get("Retry-After") || 1)));
      continue;
    }
    const told = await response.json().catch(() => ({}));
    throw Object.assign(new Error(told.error || `status ${response.status}`), { status: response.status });
  }
}

function showView() {
  const wanted = location.hash === "#label" && !byId("views").hidden ? "label" : "look";
  for (const name of ["look", "label"]) {
    byId(name).hidden = name !== wanted;
    const link = document.querySelector(`nav a[href="#${name}"]`);
    if (name === wanted) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (wanted === "label") showLabelling();
}

async function untilReady() {
  for (;;) {
    const response = await fetch("health").catch(() => null);
    if (response?.ok) break;
    byId("loading").hidden = false;
    byId("loading").textContent = response ? "The model is being loaded …" : "The service does not answer.";
    await new Promise(done => setTimeout(done, 1000));
  }
  byId("loading").hidden = true;
}

async function start() {
  const service = await ask("runs");
  byId("about").textContent = service.runs
    .map(run => `${run.name}: ${run.method} on ${run.backbone}, ${run.class_names.length} classes`).join("; ");
  byId("views").hidden = !service.labelling;
  startLooking(service);
  if (service.labelling) startLabelling();
  addEventListener("hashchange", () => { if (location.hash !== "#content") showView(); });
  showView();
  await untilReady();
}

start().catch(error => {
  byId("loading").hidden = false;
  byId("loading").textContent = error.message;
});
