// One tool: what it says of itself, the form to call it, and what came of that.

import { request } from "./ask.js";
import { announce, duration, el, fresh, name, plain, say } from "./dom.js";
import { formOf, pretty } from "./form.js";

const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
const SOUNDS = ["audio/mpeg", "audio/ogg", "audio/wav", "audio/webm", "audio/mp4"];
const LONGEST = 200000; // characters of a text that are shown
const MOST_PAGES = 50;

/** The tools of an MCP, as this caller sees them. */
export async function toolsOf(mcp) {
  const tools = [];
  let cursor = null;
  for (let page = 0; page < MOST_PAGES; page++) {
    const { result } = await request(`${mcp.path}mcp`, "tools/list", cursor === null ? "{}" : JSON.stringify({ cursor }));
    if (Array.isArray(result.tools)) tools.push(...result.tools.filter((tool) => typeof tool?.name === "string"));
    if (typeof result.nextCursor !== "string" || result.nextCursor === cursor) break;
    cursor = result.nextCursor;
  }
  return tools;
}

/** What it says that it does to the world: the spec's defaults are those of a tool that may do anything (server/tools, annotations). */
export function danger(tool) {
  const said = tool.annotations ?? {};
  if (said.readOnlyHint === true && said.destructiveHint !== true) return { kind: "reads", word: "reads only", text: "It says that it only reads." };
  if (said.destructiveHint === true) return { kind: "destroys", word: "destructive", text: "It says that it may delete or overwrite." };
  if (said.readOnlyHint === false && said.destructiveHint === false) return { kind: "writes", word: "adds", text: "It says that it changes something, and destroys nothing." };
  return { kind: "unsure", word: "may change things", text: "It does not say that it only reads: it may change or delete something." };
}

export function toolView(mcp, tool) {
  const form = formOf(tool.inputSchema);
  const its = danger(tool);
  const sure = el("input", { type: "checkbox", id: fresh("sure"), onchange: () => (call.disabled = !sure.checked) });
  const call = el("button", { type: "submit", class: "main", disabled: its.kind === "destroys" }, "Call");
  const stop = el("button", { type: "button", hidden: true, onclick: () => running?.abort() }, "Stop");
  const state = el("span", { class: "quiet", role: "status" });
  const answer = el("section", { class: "answer", "aria-label": "Result" });
  let running = null;

  async function submit(event) {
    event.preventDefault();
    if (running || call.disabled) return;
    const given = form.read();
    if (given === null) return;
    running = new AbortController();
    const began = performance.now();
    stop.hidden = !(call.disabled = true);
    answer.replaceChildren();
    say(state, "waiting for its answer…");
    try {
      const params = `{"name":${JSON.stringify(tool.name)},"arguments":${given}}`;
      const options = { name: tool.name, signal: running.signal, told: (message) => say(state, progress(message)) };
      const { result, raw } = await request(`${mcp.path}mcp`, "tools/call", params, options);
      answer.replaceChildren(...resultOf(result, raw));
      say(state, `${result.isError === true ? "it tells of an error" : "answered"} after ${duration((performance.now() - began) / 1000)}`);
    } catch (problem) {
      const isStopped = problem.name === "AbortError";
      if (!isStopped) answer.replaceChildren(el("p", { class: "note bad" }, plain(problem.message)));
      say(state, isStopped ? "stopped" : "no result");
    } finally {
      running = null;
      stop.hidden = true;
      call.disabled = its.kind === "destroys" && !sure.checked;
    }
    announce(state.textContent);
  }

  return el("article", { class: "tool" },
    el("h3", { tabindex: "-1" }, name(tool.name, 300)),
    tool.title || tool.annotations?.title ? el("p", { class: "quiet" }, plain(tool.title ?? tool.annotations.title, 300)) : null,
    tool.description ? el("p", { class: "said" }, plain(tool.description)) : null,
    el("p", { class: its.kind === "reads" ? "quiet" : `note ${its.kind}` }, its.text),
    el("form", { onsubmit: submit, onkeydown: sendWithControl },
      form.element,
      its.kind === "destroys" ? el("p", {}, sure, " ", el("label", { for: sure.id }, "I know what it will do")) : null,
      el("p", { class: "actions" }, call, stop, state)),
    answer,
    schemaOf("Schema of its arguments", tool.inputSchema),
    tool.outputSchema ? schemaOf("Schema of its result", tool.outputSchema) : null);
}

const schemaOf = (title, schema) => el("details", {}, el("summary", {}, title), code(JSON.stringify(schema ?? {}, null, 2)));

function sendWithControl(event) {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.requestSubmit();
}

function progress({ method, params }) {
  if (method !== "notifications/progress") return "it works on it…";
  const far = params?.total ? `${params.progress} of ${params.total}` : String(params?.progress ?? "");
  return plain([far, params?.message].filter(Boolean).join(": "), 200);
}

// ---- results: texts, pictures and sounds, and everything else as JSON

function resultOf(result, raw) {
  const content = Array.isArray(result.content) ? result.content : [];
  return [
    el("h4", { class: result.isError === true ? "bad" : "" }, result.isError === true ? "It tells of an error" : "Result"),
    ...content.slice(0, 200).map(partOf),
    result.structuredContent === undefined ? null : el("div", {}, el("h4", {}, "As data"), code(JSON.stringify(result.structuredContent, null, 2))),
    el("details", {}, el("summary", {}, "The whole answer"), code(pretty(raw))),
  ].filter(Boolean);
}

function partOf(part) {
  if (part?.type === "text") return el("pre", { class: "text", tabindex: "0" }, cut(part.text));
  if (part?.type === "image" && PICTURES.includes(part.mimeType)) return media("img", part, { alt: "a picture that the tool returned" });
  if (part?.type === "audio" && SOUNDS.includes(part.mimeType)) return media("audio", part, { controls: true });
  if (part?.type === "resource" && typeof part.resource?.text === "string") {
    return el("div", {}, el("p", { class: "quiet" }, plain(part.resource.uri, 500)), el("pre", { class: "text", tabindex: "0" }, cut(part.resource.text)));
  }
  return code(JSON.stringify(part, null, 2));
}

/** Shown from memory: a type that is no more than a picture or a sound, and no address of anybody's. */
function media(tag, part, attributes) {
  let data;
  try {
    data = Uint8Array.from(atob(part.data), (char) => char.charCodeAt(0));
  } catch {
    return el("p", { class: "bad" }, "It is no base64.");
  }
  const url = URL.createObjectURL(new Blob([data], { type: part.mimeType }));
  const shown = el(tag, attributes);
  shown.src = url;
  if (tag === "img") shown.addEventListener("load", () => URL.revokeObjectURL(url));
  return shown;
}

const code = (text) => el("pre", { class: "code", tabindex: "0" }, cut(text ?? ""));

function cut(words) {
  const text = String(words);
  return text.length > LONGEST ? `${plain(text, LONGEST)}\n(${text.length - LONGEST} characters more)` : plain(text, LONGEST);
}
