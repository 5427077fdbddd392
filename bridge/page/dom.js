// Elements made from text. Nothing here, or anywhere in this page, makes markup of a text: what a server says stays what it says.

const SVG = "http://www.w3.org/2000/svg";
// Controls, marks that turn the direction of writing around, and what shows as nothing: as bridge/printable.py has them.
const UNPRINTABLE =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]|\p{Surrogate}/gu;

/** Anybody's words, fit to be looked at, and no longer than `limit`. */
export function plain(words, limit = 4000) {
  const text = String(words);
  const shown = text.length > limit ? `${text.slice(0, limit)}…` : text;
  return shown.replace(/\r\n/g, "\n").replace(UNPRINTABLE, "\ufffd");
}

/** An element: `on…` are listeners, other attributes as they are called in HTML. Children are elements, or texts. */
export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : plain(value));
  }
  element.append(...children.flat().filter((child) => child != null && child !== false).map(node));
  return element;
}

const node = (child) => (child instanceof Node ? child : plain(child));

/** Change a text only where it is another one: a screen reader need not hear it again. */
export function say(element, words) {
  const text = plain(words);
  if (element.textContent !== text) element.textContent = text;
}

/** What a server is called, so that letters written from the right do not turn its neighbours around. */
export const name = (words, limit = 120) => el("bdi", { title: words.length > limit ? plain(words, 1000) : null }, plain(words, limit));

export const announce = (words) => say(document.getElementById("live"), words);

let ids = 0;
export const fresh = (what) => `${what}-${++ids}`;

// ---- figures, as people say them

export function duration(seconds) {
  if (!seconds) return "–";
  if (seconds < 0.9995) return `${seconds < 0.01 ? (seconds * 1000).toFixed(1) : Math.round(seconds * 1000)} ms`;
  if (seconds < 100) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}

export function bytes(count) {
  return count ? (count < 1 << 30 ? `${Math.round(count / 1048576)} MB` : `${(count / (1 << 30)).toFixed(1)} GB`) : "–";
}

export const clock = (when) => new Date(when).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

/** The time of day, and the day where it is another one. */
export function moment(when) {
  const date = new Date(when);
  if (Number.isNaN(date.valueOf())) return "";
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? clock(date) : `${date.toLocaleDateString([], { month: "short", day: "numeric" })} ${clock(date)}`;
}
