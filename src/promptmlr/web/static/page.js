// Which view is shown, from the first answer of the service on.
import { showLabelling, startLabelling } from "./label.js";
import { startLooking } from "./look.js";
import { ask, byId } from "./shared.js";

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
  if (service.labelling) startLabelling(service.labelling);
  addEventListener("hashchange", () => { if (location.hash !== "#content") showView(); });
  showView();
  await untilReady();
}

start().catch(error => {
  byId("loading").hidden = false;
  byId("loading").textContent = error.message;
});
