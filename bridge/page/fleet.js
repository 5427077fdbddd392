// All MCPs as they are known here, and how they are asked for: at a bridge all at once, at a fleet's door each of its own bridge, so that
// none can speak for another one and none that hangs keeps the others.

import { ask, forget, open, opened, Refused, token } from "./ask.js";

/** Where clients reach what has this path here. */
export const url = (path) => new URL(`${path}mcp`, location.href.split("#")[0]).href;

const AT_ONCE = 6;
const DEEPEST = 6; // lists and objects in each other, of what a bridge says

/** `facts` are what the fleet's files say (at the door), `said` what its bridge says (null while it does not), `trouble` why not. */
class Mcp {
  constructor(name) {
    this.name = name;
    this.facts = {};
    this.said = null;
    this.trouble = "";
    this.isAway = false; // not there at all: not started
  }

  get path() {
    return fleet.isSingle ? "" : `${encodeURIComponent(this.name)}/`;
  }

  get state() {
    if (this.facts.remote) return "remote";
    if (!this.said) return this.isAway ? "off" : "no answer";
    return String(this.said.state || this.said.status);
  }

  /** fine, busy, bad, or off: what its state means to somebody who looks. */
  get mood() {
    if (this.said?.status === "ready") return "fine";
    if (!this.said) return this.facts.remote || this.isAway ? "off" : "bad";
    return ["starting", "handshaking", "stopping"].includes(this.said.state) ? "busy" : "bad";
  }

  get reason() {
    if (this.facts.remote) return "LiteLLM asks it directly";
    if (this.isAway && this.needs.length) return `it needs ${this.needs.join(", ")}`;
    return String(this.said ? (this.said.reason ?? "") : this.trouble);
  }

  get needs() {
    return Array.isArray(this.facts.needs) ? this.facts.needs.map(String) : [];
  }

  get tools() {
    return Array.isArray(this.said?.tools) ? this.said.tools : null;
  }

  /** Of the last hour, by the minute; null for who may not see it. */
  get history() {
    const told = this.said?.history;
    return told && Array.isArray(told.calls) && Array.isArray(told.p95) && Array.isArray(told.errors) ? told : null;
  }

  get shared() {
    return Array.isArray(this.said?.processes) ? this.said.processes[0] : undefined;
  }
}

export const fleet = {
  mcps: new Map(), // by name
  groups: {}, // by name: several of them at one address, as their bridge says how each is there, or (at the door) their names
  isDoor: false,
  isSingle: false,
  knowsAll: true, // whether there is a list of all: at the door for the operator alone
  version: "",
};

export const find = (name) => fleet.mcps.get(name);

/** Ask how all of them are; `heard` is called for what came so far. Raises Refused where nobody is let in. */
export async function look(heard) {
  const said = await ask("status.json");
  fleet.isDoor = said.door === true;
  fleet.isSingle = said.single === true;
  if (fleet.isDoor) return lookThroughDoor(heard);
  fleet.version = String(said.version ?? "");
  keep(Object.keys(said.mcps));
  fleet.groups = tamed(said.groups) ?? {};
  for (const [name, status] of Object.entries(said.mcps)) known(name, status);
  for (const [name, reason] of Object.entries(said.absent ?? {})) away(mcpOf(name), String(reason));
  heard();
}

async function lookThroughDoor(heard) {
  const said = await listed();
  const facts = said?.mcps;
  fleet.knowsAll = said !== null;
  fleet.groups = said?.groups ?? {};
  const names = facts ? Object.keys(facts) : opened();
  keep(names);
  for (const name of names) mcpOf(name).facts = facts?.[name] ?? {};
  heard();
  const waiting = names.map(mcpOf).filter((mcp) => !mcp.facts.remote);
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let mcp = waiting.shift(); mcp; mcp = waiting.shift()) await lookAt(mcp);
  }));
  heard();
}

/** What the door says of the fleet; null where it says it to the operator alone. */
async function listed() {
  if (!token()) throw new Refused(401, "");
  try {
    return await ask("fleet.json");
  } catch (problem) {
    if (problem.status === 401 && opened().length) return null;
    throw problem;
  }
}

async function lookAt(mcp) {
  try {
    const said = await ask(`${mcp.path}status.json`);
    const own = Object.hasOwn(said.mcps ?? {}, mcp.name) ? said.mcps[mcp.name] : null;
    fleet.version = String(said.version ?? "");
    if (own) known(mcp.name, own);
    else away(mcp, "you may not see it");
  } catch (problem) {
    mcp.said = null;
    mcp.trouble = problem.message;
    mcp.isAway = problem.status === 503;
    if (!fleet.knowsAll && [401, 404].includes(problem.status)) {
      forget(mcp.name);
      throw new Refused(problem.status, problem.status === 401 ? `${mcp.name} does not know this token` : `there is no MCP ${mcp.name}`);
    }
  }
}

function known(name, status) {
  const mcp = mcpOf(name);
  mcp.said = status !== null && typeof status === "object" ? tamed(status) : null;
  mcp.trouble = "";
  mcp.isAway = false;
}

/** Without what fails where it is made a text, so that what one MCP says in the place of its bridge ends nothing of the others. */
function tamed(value, depth = 0) {
  if (value === null || typeof value !== "object") return value;
  if (depth > DEEPEST) return null;
  if (Array.isArray(value)) return value.map((one) => tamed(one, depth + 1));
  const members = Object.entries(value).filter(([key]) => key !== "toString" && key !== "valueOf");
  return Object.fromEntries(members.map(([key, one]) => [key, tamed(one, depth + 1)]));
}

function away(mcp, reason) {
  mcp.said = null;
  mcp.trouble = reason;
  mcp.isAway = true;
}

function mcpOf(name) {
  if (!fleet.mcps.has(name)) fleet.mcps.set(name, new Mcp(name));
  return fleet.mcps.get(name);
}

function keep(names) {
  for (const name of fleet.mcps.keys()) if (!names.includes(name)) fleet.mcps.delete(name);
  for (const name of names) mcpOf(name);
}

export { open };
