// All MCPs in one table, a row each.

import { announce, duration, el, moment, name, plain, say } from "./dom.js";
import { find, fleet, open, url } from "./fleet.js";
import { calls, number, sum, times } from "./graph.js";

const COLUMNS = ["MCP", "State", "Tools", "Callers", "Calls a minute", "95th percentile", "Errors", "Age", "Last event"];

export function overview(look) {
  const rows = new Map();
  const body = el("tbody");
  const sums = el("dl", { class: "sums" });
  const filter = el("input", { type: "search", id: "filter", placeholder: "name, state or tool", oninput: show, autocomplete: "off", spellcheck: "false" });
  const groups = el("section", {});
  const none = el("p", { class: "quiet", hidden: true }, "No MCP here is called so.");
  const root = el("div", {},
    el("h1", { tabindex: "-1" }, "All MCPs"),
    sums,
    el("div", { class: "tools-of-table" }, el("label", { for: "filter" }, "Show only"), filter, opener(look)),
    el("table", { class: "mcps" },
      el("caption", { class: "only-heard" }, "How each MCP is"),
      el("thead", {}, el("tr", {}, COLUMNS.map((title) => el("th", { scope: "col" }, title)))),
      body),
    none, groups);

  function show() {
    const wanted = filter.value.trim().toLowerCase();
    let shown = 0;
    for (const [key, row] of rows) {
      const mcp = fleet.mcps.get(key);
      const words = [key, mcp.state, mcp.facts.description ?? "", ...(mcp.tools ?? [])].join("\n").toLowerCase();
      row.element.hidden = !words.includes(wanted);
      shown += !row.element.hidden;
    }
    none.hidden = shown > 0 || rows.size === 0;
  }

  function update() {
    for (const [key, row] of rows) {
      if (!fleet.mcps.has(key)) {
        row.element.remove();
        rows.delete(key);
      }
    }
    for (const [index, mcp] of [...fleet.mcps.values()].sort((a, b) => (a.name < b.name ? -1 : 1)).entries()) {
      if (!rows.has(mcp.name)) rows.set(mcp.name, makeRow(mcp));
      const row = rows.get(mcp.name);
      if (body.children[index] !== row.element) body.insertBefore(row.element, body.children[index] ?? null);
      row.update(mcp);
    }
    summarise(sums);
    put(groups, groupsOf());
    show();
  }

  return { root, update, title: "All MCPs" };
}

function makeRow(mcp) {
  const cells = COLUMNS.slice(1).map((title) => el("td", { "data-title": title }));
  const [state, tools, callers, rate, slow, errors, age, last] = cells;
  const about = el("small", {});
  const element = el("tr", {}, el("th", { scope: "row" }, el("a", { href: address(mcp.name) }, name(mcp.name)), about), cells);
  return {
    element,
    update(now) {
      const { said, history } = now;
      say(about, [now.facts.package ?? said?.server ?? "", now.facts.description].filter(Boolean).join(" · "));
      about.title = about.textContent;
      put(state, [pill(now), now.reason && el("small", { title: plain(now.reason, 1000) }, plain(now.reason, 300))]);
      say(tools, now.tools ? now.tools.length : "–");
      put(callers, callersOf(said));
      put(rate, history ? [figure(rateOf(history)), calls(history)] : ["–"]);
      put(slow, history ? [figure(duration(number(said.p95_call_seconds))), times(history)] : ["–"]);
      say(errors, history ? number(said.errors) : "–");
      errors.className = number(said?.errors) ? "bad" : "";
      say(age, duration(number(now.shared?.age)));
      const event = said?.last_event;
      put(last, event?.event ? [el("span", {}, plain(event.event, 200)), el("small", {}, moment(event.time))] : ["–"]);
    },
  };
}

/** What a cell shows: replaced only if it is another thing, so that nothing flickers. */
function put(cell, children) {
  const fresh = cell.cloneNode(false);
  fresh.append(...children.filter(Boolean));
  if (!fresh.isEqualNode(cell)) cell.replaceChildren(...fresh.childNodes);
}

const figure = (text) => el("span", { class: "figure" }, text);
const rateOf = (history) => number(history.calls.at(-2) ?? history.calls.at(-1));

export const address = (mcp, tool) => `#/${encodeURIComponent(mcp)}${tool === undefined ? "" : `/${encodeURIComponent(tool)}`}`;

export const pill = (mcp) => el("span", { class: `pill ${mcp.mood}` }, mcp.state);

export function callersOf(said) {
  const callers = said?.callers;
  if (!callers || typeof callers !== "object") return ["–"];
  const names = Object.keys(callers);
  return [el("span", { title: plain(names.join(", "), 500) }, names.length)];
}

function summarise(sums) {
  const all = [...fleet.mcps.values()];
  const ready = all.filter((mcp) => mcp.mood === "fine").length;
  const bad = all.filter((mcp) => mcp.mood === "bad").length;
  const seen = all.filter((mcp) => mcp.history);
  const told = [
    ["ready", `${ready} of ${all.filter((mcp) => mcp.mood !== "off").length}`, bad ? "bad" : ""],
    ["calls in the last minute", sum(seen.map((mcp) => rateOf(mcp.history)))],
    ["calls in the last hour", sum(seen.map((mcp) => sum(mcp.history.calls)))],
    ["errors in the last hour", sum(seen.map((mcp) => sum(mcp.history.errors)))],
  ];
  const off = all.filter((mcp) => mcp.mood === "off").length;
  if (off) told.push(["not started, or elsewhere", off]);
  sums.replaceChildren(...told.map(([what, value, kind]) => el("div", { class: kind }, el("dt", {}, what), el("dd", {}, value))));
}

/** Several MCPs at one address: that, to be copied, and who is missing there and why. */
function groupsOf() {
  const all = Object.entries(fleet.groups);
  if (!all.length) return [];
  const rows = all.map(([key, group]) => {
    const members = Array.isArray(group) ? group : Object.keys(group.mcps ?? {});
    const where = el("code", {}, url(`${encodeURIComponent(key)}/`));
    const said = (member) => group.mcps?.[member] ?? find(member)?.said;
    const missing = members.filter((member) => said(member)?.status !== "ready").map((member) =>
      el("small", { class: "bad" }, name(member), ` is missing: ${said(member)?.reason || group.not_waited_for?.[member] || find(member)?.reason || said(member)?.state}`));
    return el("li", {}, name(key),
      el("span", {}, where, " ", el("button", { "aria-label": `Copy the address of ${key}`, class: "plain", onclick: () => copy(where) }, "Copy"),
        el("small", {}, members.map((member, index) => [index ? ", " : "", el("a", { href: address(member) }, name(member))]).flat()), missing));
  });
  return [el("h2", {}, "Groups: several MCPs at one address"), el("ul", { class: "happened groups" }, rows)];
}

/** Where a browser lets nothing be copied (without https) it is chosen, for whoever presses Ctrl+C. */
async function copy(element) {
  getSelection().selectAllChildren(element);
  try {
    await navigator.clipboard.writeText(element.textContent);
    announce("copied");
  } catch {
    announce("chosen: copy it");
  }
}

/** At a door that does not say which MCPs there are: a caller names those that its key is good for, and no other MCP gets to see it. */
function opener(look) {
  if (fleet.knowsAll) return null;
  const field = el("input", { id: "another", autocomplete: "off", spellcheck: "false", size: 14 });
  const wrong = el("span", { class: "bad", role: "alert" });
  async function go(event) {
    event.preventDefault();
    open(field.value.trim());
    try {
      await look();
      field.value = wrong.textContent = "";
      announce("opened");
    } catch (problem) {
      say(wrong, problem.message);
    }
  }
  return el("form", { class: "inline", onsubmit: go }, el("label", { for: "another" }, "Open another MCP"), field, el("button", {}, "Open"), wrong);
}
