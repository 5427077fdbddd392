// Signing in, which view is shown, and when to look again.
//
// Looked is every few seconds, and not at all while nobody sees the page: a bridge must not feel that one is open.

import { Refused, open, signIn, signOut, token } from "./ask.js";
import { announce, clock, el, fresh, plain, say } from "./dom.js";
import { fleet, look } from "./fleet.js";
import { mcpView } from "./mcp.js";
import { overview } from "./overview.js";

const EVERY = 5000; // milliseconds
const main = document.getElementById("main");
const leave = document.getElementById("leave");
let view = null;
let timer = 0;
let looking = null;

// ---- looking

async function again() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    await once();
  } catch (problem) {
    if (problem.status === 401) return login(token() ? "The token is not known here any more." : "");
    say(document.getElementById("fresh"), problem.message);
  }
  timer = setTimeout(again, EVERY);
}

/** One look at all, shown as it comes. Raises Refused. */
async function once() {
  looking ??= look(heard).finally(() => (looking = null));
  await looking;
  leave.hidden = !token();
  say(document.getElementById("fresh"), `${fleet.version ? `version ${fleet.version}, ` : ""}as of ${clock(Date.now())}`);
}

function heard() {
  if (!view) route();
  else view.update();
}

document.addEventListener("visibilitychange", () => document.hidden || !view || again());

// ---- views

/** #/ is the overview, #/NAME an MCP, #/NAME/TOOL one of its tools. */
function route() {
  const [mcp, tool] = location.hash.replace(/^#\/?/, "").split("/").map(decoded);
  const isSame = view?.key === mcp;
  if (!isSame) {
    view?.leave?.();
    view = { key: mcp, ...(mcp ? mcpView(mcp) : overview(once)) };
    main.replaceChildren(view.root);
    view.update();
    scrollTo(0, 0);
    view.root.querySelector("h1").focus();
  }
  document.title = plain(`${tool || view.title} · MCP servers`, 100);
  if (tool !== undefined) view.show?.(tool);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

addEventListener("hashchange", () => location.hash === "#main" || !view || route());
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

// ---- who looks

function login(trouble = "") {
  clearTimeout(timer);
  view?.leave?.();
  view = null;
  leave.hidden = true;
  document.title = "Sign in · MCP servers";
  say(document.getElementById("fresh"), "");
  const [field, wrong] = [fresh("token"), el("p", { class: "bad", role: "alert" }, trouble)];
  const given = el("input", { id: field, type: "password", autocomplete: "current-password", spellcheck: "false", required: true });
  const which = el("input", { id: `${field}-mcp`, autocomplete: "off", spellcheck: "false" });
  const more = el("div", { class: "field", hidden: true }, el("label", { for: which.id }, "MCP"), which,
    el("p", { class: "hint" }, "With a caller's own key: the MCP to open. The key is sent to that one alone."));
  const button = el("button", { class: "main" }, "Sign in");

  async function enter(event) {
    event.preventDefault();
    signOut();
    signIn(given.value.trim());
    if (which.value.trim()) open(which.value.trim());
    button.disabled = true;
    try {
      await once();
      announce("Signed in");
      timer = setTimeout(again, EVERY);
    } catch (problem) {
      signOut();
      button.disabled = false;
      more.hidden = !fleet.isDoor;
      say(wrong, toldOf(problem, which.value.trim()));
      given.focus();
      given.select();
    }
  }

  main.replaceChildren(el("form", { class: "login", onsubmit: enter },
    el("h1", { tabindex: "-1" }, "Sign in"),
    el("div", { class: "field" }, el("label", { for: field }, "Token"), given,
      el("p", { class: "hint" }, "It stays in this tab until the tab is closed or you sign out.")),
    more, wrong, el("p", { class: "actions" }, button)));
  given.focus();
}

function toldOf(problem, mcp) {
  if (!(problem instanceof Refused)) return String(problem);
  if (problem.status === 429) return problem.message;
  if (problem.status !== 401 || mcp) return problem.message;
  return fleet.isDoor ? "This is not the operator's token. If it is a caller's own key, say which MCP to open." : "Wrong token: nobody is known by it here.";
}

leave.addEventListener("click", () => {
  signOut();
  location.reload(); // what is still asked for is shown to nobody who comes next
});

again();
