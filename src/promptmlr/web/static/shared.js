// What both views share: elements of the page, and asking the service.
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
