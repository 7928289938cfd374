// Maps over an image: viridis over a pale grey copy of it, as in the figures of `promptmlr explain`.
import { element } from "./shared.js";

const WIDTH = 360;  // pixels of a canvas
const GREY = 0.6, CONTRAST = 0.5, ALPHA = 0.6;
const VIRIDIS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129],
  [92, 200, 99], [170, 220, 50], [253, 231, 37]];

function colour(share) {
  const place = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const below = Math.min(Math.floor(place), VIRIDIS.length - 2);
  return VIRIDIS[below].map((value, i) => value + (place - below) * (VIRIDIS[below + 1][i] - value));
}

const share = (value, side) => (side.high > side.low ? (value - side.low) / (side.high - side.low) : 0);

// Where a map is strongest, in words.
export function strongest(side) {
  let best = [0, 0];
  side.grid.forEach((row, r) => row.forEach((value, c) => { if (value > side.grid[best[0]][best[1]]) best = [r, c]; }));
  return `strongest in row ${best[0] + 1} of ${side.grid.length}, column ${best[1] + 1} of ${side.grid[0].length}`;
}

function drawn(image, proportion, side) {
  const canvas = element("canvas", { width: WIDTH, height: Math.max(Math.round(WIDTH * proportion), 1) });
  const context = canvas.getContext("2d");
  context.fillStyle = "#999";
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (image) context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  const rows = side.grid.length, columns = side.grid[0].length;
  const painted = side.grid.map(row => row.map(value => colour(share(value, side))));
  for (let y = 0, at = 0; y < canvas.height; y++) {
    const row = painted[Math.min(Math.floor(y / canvas.height * rows), rows - 1)];
    for (let x = 0; x < canvas.width; x++, at += 4) {
      const over = row[Math.min(Math.floor(x / canvas.width * columns), columns - 1)];
      const mean = (pixels.data[at] + pixels.data[at + 1] + pixels.data[at + 2]) / 3;
      const grey = 255 * (GREY - CONTRAST / 2) + CONTRAST * mean;
      for (let i = 0; i < 3; i++) pixels.data[at + i] = (1 - ALPHA) * grey + ALPHA * over[i];
    }
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

const scale = (side, title) => colours(title, side.low.toFixed(1), side.high.toFixed(1));

// What the colours mean: a title, and words or numbers for both ends.
export function colours(title, low, high) {
  const canvas = element("canvas", { width: 100, height: 1 });
  const context = canvas.getContext("2d");
  for (let x = 0; x < 100; x++) {
    context.fillStyle = `rgb(${colour(x / 99).map(value => (1 - ALPHA) * 255 * GREY + ALPHA * value).join(" ")})`;
    context.fillRect(x, 0, 1, 1);
  }
  canvas.setAttribute("aria-hidden", "true");
  return element("div", { className: "scale" }, element("span", { className: "name", textContent: title }),
    low, canvas, high);
}

// Where a class is seen alone, as large as the space it gets.
export function presenceMap(answer, image) {
  const side = answer.presence, canvas = drawn(image, image.naturalHeight / image.naturalWidth, side);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `presence of ${answer.class}: ${strongest(side)}`);
  return [canvas, scale(side, `presence of ${answer.class}: ${side.scale}`)];
}

// Both maps of a class, with what their colours mean. `image` may be null where the browser cannot show it.
export function classMaps(answer, image, proportion) {
  const maps = element("div", { className: "maps" });
  for (const name of ["presence", "absence"]) {
    const canvas = drawn(image, proportion, answer[name]);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${name} of ${answer.class}: ${strongest(answer[name])}`);
    maps.append(element("figure", {}, canvas, element("figcaption", { textContent: `${name} of ${answer.class}` })));
  }
  const same = answer.presence.scale === answer.absence.scale;
  const scales = same ? [scale(answer.presence, answer.presence.scale)]
    : ["presence", "absence"].map(name => scale(answer[name], `${name}: ${answer[name].scale}`));
  return [maps, ...scales];
}
