// Pictures of the queue: fetched ahead, asked for again where there is no place, and what is wrong where there is none.
import { ask, element } from "./shared.js";

const KEPT = 120;  // loading or loaded, so that the next page is there at once
const PATIENCE = 20;  // times to come back where there is no place
const held = new Map();  // address → an image that loads it

const address = (cell, size) => `label/pictures/${cell.picture}?size=${size}`;

// A promise that is kept once the picture of a cell can be shown, and broken with the reason why it cannot.
export function picture(cell, size) {
  const url = address(cell, size);
  if (!held.has(url)) {
    held.set(url, load(url));
    held.get(url).catch(() => held.delete(url));
    if (held.size > KEPT) held.delete(held.keys().next().value);
  }
  return held.get(url);
}

async function load(url) {
  for (let turn = 0; ; turn++) {
    const image = new Image();
    image.src = url;
    try {
      await image.decode();
      return image;
    } catch {
      const response = await fetch(url).catch(() => null);  // an <img> does not say why
      if (response?.ok) continue;
      const busy = response?.status === 429 || response?.status === 503;
      if (busy && turn < PATIENCE) {
        await new Promise(done => setTimeout(done, 500 + 500 * Math.random()));
        continue;
      }
      const told = await response?.json().catch(() => ({}));
      throw new Error(told?.error ?? "the image cannot be shown");
    }
  }
}

// An <img> of a cell that fills the space it has; `done` hears whether it can be seen.
export function photo(cell, size, done) {
  const image = element("img", { alt: "", className: "photo" }), frame = element("span", { className: "frame" }, image);
  picture(cell, size).then(loaded => {
    image.src = loaded.src;
    done(true);
  }, error => {
    frame.replaceChildren(element("span", { className: "broken", textContent: error.message }));
    done(false);
  });
  return frame;
}

// Presence and absence of a class in the picture of a cell, as the view Recognize asks for them.
export async function mapsOf(cell, size) {
  const image = await picture(cell, size);
  const content = await (await fetch(image.src)).blob();
  const body = new FormData();
  body.append("images", content, cell.image);
  return [await ask(`maps?class=${encodeURIComponent(cell.class)}`, { method: "POST", body }, PATIENCE), image];
}
