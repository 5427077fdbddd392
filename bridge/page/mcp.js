// One MCP: how it is, what happened to it, its tools, and its log while somebody looks at that.

import { ask } from "./ask.js";
import { bytes, clock, duration, el, moment, name, plain, say } from "./dom.js";
import { find, fleet, url } from "./fleet.js";
import { calls, number, times } from "./graph.js";
import { address, pill } from "./overview.js";
import { danger, toolsOf, toolView } from "./tool.js";

const EVERY = 2000; // milliseconds between two looks at a log
const LINES = 500; // of a log that are shown

export function mcpView(key) {
  const head = el("div", { class: "head" });
  const facts = el("dl", { class: "facts" });
  const graphs = el("div", { class: "graphs" });
  const happened = el("div", {});
  const tools = toolsSection(key);
  const log = logSection(key);
  const root = el("div", {},
    el("p", {}, el("a", { href: "#/" }, "← All MCPs")),
    el("h1", { tabindex: "-1" }, name(key, 300)), head, graphs, facts, happened, tools.root, log.root);

  function update() {
    const mcp = find(key);
    if (!mcp) {
      head.replaceChildren(el("p", { class: "note bad" }, "There is no such MCP here, or none that you may see."));
      return [facts, graphs, happened, tools.root, log.root].forEach((part) => (part.hidden = true));
    }
    head.replaceChildren(el("p", {}, pill(mcp), " ", plain(mcp.reason, 2000)), mcp.facts.description ? el("p", { class: "quiet" }, plain(mcp.facts.description)) : "");
    const history = mcp.history;
    graphs.hidden = !history;
    if (history) {
      graphs.replaceChildren(
        el("figure", {}, el("figcaption", {}, "Calls a minute, last hour"), calls(history, 60)),
        el("figure", {}, el("figcaption", {}, `95th percentile: ${duration(number(mcp.said.p95_call_seconds))} in all`), times(history, 60)));
    }
    facts.replaceChildren(...factsOf(mcp).map(([what, value]) => el("div", {}, el("dt", {}, what), el("dd", {}, value))));
    happened.replaceChildren(...changesOf(mcp), ...troublesOf(mcp));
    tools.update(mcp);
    log.update(mcp);
  }

  return { root, update, title: plain(key, 60), show: (tool) => tools.show(tool), leave: log.leave };
}

function factsOf({ said, facts, shared, path }) {
  const it = said ?? {};
  const told = [
    ["Server", plain(it.server ?? "", 100)], ["Package", facts.package], ["Speaks", it.revision], ["Address", url(path)],
    ["Age", shared?.age ? duration(shared.age) : ""], ["Restarts", it.restarts], ["Calls", it.calls], ["Errors", it.errors],
    ["Processes", it.children], ["Memory", it.memory_bytes ? bytes(it.memory_bytes) : ""], ["Sessions", it.sessions], ["In flight", it.in_flight],
    ["Isolation", it.isolation], ["Profile", it.profile], ["Callers", people(it.callers)], ["Needs", Array.isArray(facts.needs) ? facts.needs.join(", ") : ""],
  ];
  return told.filter(([, value]) => value !== undefined && value !== "" && value !== null).map(([what, value]) => [what, plain(value, 500)]);
}

function people(callers) {
  if (!callers || typeof callers !== "object") return "";
  return Object.entries(callers).map(([who, count]) => `${who || "without a name"} (${count})`).join(", ");
}

/** Tools that are not as they were approved. */
function changesOf({ said }) {
  if (!Array.isArray(said?.unapproved) || !said.unapproved.length) return [];
  const what = said.pin === "hide" ? "They are not served until they are approved" : "They are served all the same";
  return [el("section", { class: "note bad" }, el("h2", {}, "Tools that are not as they were approved"),
    el("ul", {}, said.unapproved.slice(0, 100).map((one) => el("li", {}, plain(one, 300)))), el("p", {}, `${what} (mcp-bridge approve).`))];
}

function troublesOf({ said }) {
  if (!Array.isArray(said?.troubles) || !said.troubles.length) return [];
  const rows = [...said.troubles].reverse().slice(0, 8).map((one) =>
    el("li", { class: one.level === "error" ? "bad" : "" }, el("time", { datetime: one.time }, moment(one.time)), el("span", {}, plain(one.event, 200), one.why ? el("small", {}, plain(one.why, 1000)) : null)));
  return [el("section", {}, el("h2", {}, "Errors and restarts"), el("ul", { class: "happened" }, rows))];
}

// ---- tools

function toolsSection(key) {
  const list = el("ul", {});
  const count = el("span", { class: "quiet" });
  const shown = el("div", { class: "shown" }, el("p", { class: "quiet" }, "Choose a tool to see what it takes, and to call it."));
  const root = el("section", { "aria-labelledby": "tools-title" },
    el("h2", { id: "tools-title" }, "Tools ", count),
    el("div", { class: "split" }, el("nav", { "aria-label": "Tools" }, list), shown));
  let known = null;
  let names = null;
  let wanted;

  async function load(mcp) {
    try {
      known = await toolsOf(mcp);
      say(count, known.length);
      list.replaceChildren(...known.map((tool) => el("li", {}, el("a", { href: address(key, tool.name) }, name(tool.name), mark(tool)))));
      show(wanted);
    } catch (problem) {
      known = null;
      list.replaceChildren(el("li", { class: "bad" }, plain(problem.message, 500)));
    }
  }

  function show(tool) {
    wanted = tool;
    for (const link of list.querySelectorAll("a")) link.toggleAttribute("aria-current", link.getAttribute("href") === address(key, tool ?? ""));
    const found = known?.find((one) => one.name === tool);
    if (tool === undefined || !known) return;
    const view = found ? toolView(find(key), found) : el("p", { class: "bad" }, "It has no such tool.");
    shown.replaceChildren(view);
    view.querySelector("h3")?.focus();
  }

  function update(mcp) {
    const now = mcp.said?.status === "ready" ? JSON.stringify(mcp.tools) : "";
    if (now === names) return;
    names = now;
    if (now) load(mcp);
    else list.replaceChildren(el("li", { class: "quiet" }, "They are not known while it is not ready."));
  }

  return { root, update, show };
}

function mark(tool) {
  const its = danger(tool);
  return el("small", { class: its.kind }, its.word);
}

// ---- its log, for who may read it

function logSection(key) {
  const lines = el("ol", { class: "log", tabindex: "0", "aria-label": "Log, the newest last" });
  const state = el("p", { class: "quiet" });
  const root = el("details", { ontoggle: () => (root.open ? look() : leave()) }, el("summary", {}, el("h2", {}, "Live log")), state, lines);
  let last = 0;
  let timer = 0;

  async function look() {
    clearTimeout(timer);
    try {
      if (!document.hidden) add(await ask(`${fleet.isSingle ? "" : `${encodeURIComponent(key)}/`}log.json?after=${last}`));
      say(state, lines.children.length ? "" : "Nothing yet.");
    } catch (problem) {
      say(state, problem.message);
      if (problem.status === 403) return;
    }
    if (root.open && root.isConnected) timer = setTimeout(look, EVERY);
  }

  function add(said) {
    if (number(said.last) < last) {
      last = 0; // another process, or another definition of it
      lines.append(el("li", { class: "quiet" }, "— it begins anew —"));
      return;
    }
    const atEnd = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 8;
    last = number(said.last);
    lines.append(...(Array.isArray(said.events) ? said.events : []).map(lineOf));
    while (lines.children.length > LINES) lines.firstChild.remove();
    if (atEnd) lines.scrollTop = lines.scrollHeight;
  }

  function leave() {
    clearTimeout(timer);
  }

  function update(mcp) {
    root.hidden = !mcp.history;
  }

  return { root, update, leave };
}

function lineOf({ time, level, event, facts }) {
  const its = facts && typeof facts === "object" ? { ...facts } : {};
  const said = event === "stderr" ? String(its.line ?? "") : [event, ...Object.entries(its).filter(([key]) => key !== "mcp").map(([key, value]) => `${key}=${value}`)].join(" ");
  return el("li", { class: event === "stderr" ? "stderr" : String(level) }, el("time", {}, clock(time * 1000)), plain(said, 2000));
}
