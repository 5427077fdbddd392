// What is asked of the bridge, or of the door before many of them, and with which token.
//
// The token is in sessionStorage: this tab alone has it, until it is closed or signs out. It goes into the header Authorization and nowhere
// else. It is no cookie, which the browser would send with whatever any page, or an MCP behind the same door, makes it ask for.

const TOKEN = "mcp-bridge token";
const OPENED = "mcp-bridge opened";
const VERSION = "2026-07-28";
const PATIENCE = 8000; // milliseconds; a call of a tool may take as long as it likes

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status; // that of HTTP; 0: nobody answered
  }
}

export const token = () => sessionStorage.getItem(TOKEN) ?? "";

export function signIn(given) {
  sessionStorage.setItem(TOKEN, given);
}

export function signOut() {
  sessionStorage.removeItem(TOKEN);
  sessionStorage.removeItem(OPENED);
}

/** The MCPs that somebody opened at a door which does not tell them which there are. */
export const opened = () => (sessionStorage.getItem(OPENED) ?? "").split(" ").filter(Boolean);

export function open(mcp) {
  sessionStorage.setItem(OPENED, [...new Set([...opened(), mcp])].join(" "));
}

export function forget(mcp) {
  sessionStorage.setItem(OPENED, opened().filter((one) => one !== mcp).join(" "));
}

/** The JSON at a path beside this page. */
export async function ask(path) {
  const response = await sent(path, { signal: AbortSignal.timeout(PATIENCE) });
  const text = await response.text();
  let said = null;
  try {
    said = JSON.parse(text);
  } catch {
    // An error's text may be a sentence.
  }
  if (!response.ok || said === null || typeof said !== "object") throw new Refused(response.status, why(said, text, response));
  return said;
}

async function sent(path, options) {
  const headers = { ...options.headers };
  if (token()) headers.authorization = `Bearer ${token()}`;
  try {
    return await fetch(path, { ...options, headers, credentials: "omit", cache: "no-store", redirect: "error", referrerPolicy: "no-referrer" });
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
    throw new Refused(0, problem.name === "TimeoutError" ? "it does not answer" : "nobody answers: is it running?");
  }
}

function why(said, text, response) {
  const told = said?.error?.message ?? said?.error ?? said?.reason ?? text;
  return (typeof told === "string" && told.slice(0, 1000)) || `${response.status} ${response.statusText}`;
}

// ---- MCP: one request, no session

let lastId = 0;

/** A request to an MCP. `params` is JSON text, because numbers and names must arrive as they were written. `told` hears of its progress. */
export async function request(path, method, params, { name = "", signal, told = () => {} } = {}) {
  const id = ++lastId;
  const meta = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": { name: "mcp-bridge page", version: "1" },
    progressToken: id,
  };
  const rest = params === "{}" ? "}" : `,${params.slice(1)}`;
  const headers = {
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    "mcp-protocol-version": VERSION,
    "mcp-method": method,
  };
  if (name) headers["mcp-name"] = spelled(name);
  const body = `{"jsonrpc":"2.0","id":${id},"method":${JSON.stringify(method)},"params":{"_meta":${JSON.stringify(meta)}${rest}}`;
  const response = await sent(path, { method: "POST", headers, body, signal });
  const answer = await answerOf(response, told);
  if (answer?.message.result && typeof answer.message.result === "object") return { result: answer.message.result, raw: answer.raw };
  throw new Refused(response.status, why(answer?.message, "", response));
}

async function answerOf(response, told) {
  if (!(response.headers.get("content-type") ?? "").startsWith("text/event-stream")) return parsed(await response.text());
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    const lines = (rest + (value ?? "")).split("\n");
    rest = done ? "" : lines.pop();
    for (const line of lines) {
      const message = line.startsWith("data:") ? parsed(line.slice(5).trim()) : null;
      if (message?.message.result || message?.message.error) return message;
      if (message?.message.method) told(message.message);
    }
    if (done) return null;
  }
}

function parsed(raw) {
  try {
    const message = JSON.parse(raw);
    return message !== null && typeof message === "object" ? { message, raw } : null;
  } catch {
    return null;
  }
}

/** As a header can carry it (2026-07-28, basic/transports). */
function spelled(value) {
  if (/^[!-~]([ -~]*[!-~])?$/.test(value) && !value.startsWith("=?base64?")) return value;
  return `=?base64?${btoa(String.fromCharCode(...new TextEncoder().encode(value)))}?=`;
}
