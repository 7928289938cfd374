// What the modes share: the words of answers, the turn from one to the next, and buttons.
import { element } from "./shared.js";

export const WORDS = { present: "yes", absent: "no", skip: "unsure" };

const OPPOSITE = { present: "absent", absent: "present" };

// Of an answer that was proposed first its opposite, then “unsure”, then the same again.
export function turned(now, proposed) {
  const first = OPPOSITE[proposed] ? proposed : "absent";
  return now === "skip" ? first : now === first ? OPPOSITE[first] : "skip";
}

export function answerButton(text, key, name, act, quiet = false) {
  const button = element("button", { type: "button", className: quiet ? "quiet" : "" }, `${text} `,
    element("kbd", { textContent: key }));
  button.dataset.answer = name;
  button.setAttribute("aria-keyshortcuts", key);
  button.addEventListener("click", event => {
    act();
    if (event.detail) button.blur();  // clicked with a pointer: Enter then confirms, and does not click it again
  });
  return button;
}
