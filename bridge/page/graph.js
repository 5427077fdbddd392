// Small graphs of the last hour, by the minute, the newest at the right.

import { duration, svg } from "./dom.js";

const SLOTS = 60;

/** Bars: how often it was called; what failed of that is red. */
export function calls(history, height = 28) {
  const most = Math.max(1, ...history.calls.map(number));
  const start = SLOTS - history.calls.length;
  const bars = history.calls.flatMap((count, index) => {
    const all = bar(start + index, number(count), most, height, "called");
    return number(history.errors[index]) ? [all, bar(start + index, number(history.errors[index]), most, height, "failed")] : [all];
  });
  const now = number(history.calls.at(-1));
  return frame(height, `calls in each of the last 60 minutes: ${now} in this one, at most ${Math.max(0, ...history.calls.map(number))}`, bars);
}

function bar(slot, count, most, height, kind) {
  const tall = count ? Math.max(1.5, (count / most) * (height - 1)) : 0;
  return svg("rect", { class: kind, x: slot * 2, y: height - tall, width: 1.6, height: tall });
}

/** A line: the 95th percentile of how long calls took. Minutes without calls are gaps. */
export function times(history, height = 28) {
  const values = history.p95.map(number);
  const most = Math.max(...values, 1e-9);
  const start = SLOTS - values.length;
  const parts = [];
  let line = [];
  values.forEach((value, index) => {
    if (value) line.push(`${((start + index) * 2 + 0.8).toFixed(1)},${(height - 2 - (value / most) * (height - 4)).toFixed(1)}`);
    if (line.length && (!value || index === values.length - 1)) {
      parts.push(line);
      line = [];
    }
  });
  const drawn = parts.map((points) => svg("polyline", { class: "took", points: [points[0], ...points].join(" ") }));
  return frame(height, `95th percentile of the calls of each minute, at most ${duration(Math.max(0, ...values))}`, drawn);
}

const frame = (height, label, children) =>
  svg("svg", { class: "graph", viewBox: `0 0 ${SLOTS * 2} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("line", { class: "ground", x1: 0, x2: SLOTS * 2, y1: height - 0.25, y2: height - 0.25 }), ...children);

export const number = (value) => (Number.isFinite(value) ? value : 0);
export const sum = (values) => values.reduce((total, value) => total + number(value), 0);
