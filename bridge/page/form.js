// A form made from a tool's schema. What it gives is JSON text and no object: a number of twenty digits stays one, and a member may have
// any name, `__proto__` too.

import { el, fresh, name, plain, say } from "./dom.js";

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const DEEPEST = 8;

/** `element` to show, and `read()`: the arguments as JSON text, or null after telling what is wrong at its field. */
export function formOf(schema) {
  const root = object(schema) ? schema : {};
  const required = Array.isArray(root.required) ? root.required : [];
  const fields = Object.entries(object(root.properties) ? root.properties : {}).map(([key, said]) =>
    fieldOf(key, resolved(said, root), required.includes(key)));
  const simple = el("div", { class: "fields" }, fields.map((field) => field.element));
  if (!fields.length) simple.append(el("p", { class: "quiet" }, "It takes no arguments that it tells of."));
  const whole = jsonField("The arguments as JSON", "an object", true);
  whole.element.hidden = true;
  const toggle = el("button", { type: "button", class: "plain", "aria-pressed": "false", onclick: turn }, "Write it as JSON");
  let isWhole = false;

  function turn() {
    if (!isWhole) whole.input.value = pretty(gathered(fields.filter((field) => !field.isWrong())) ?? "{}");
    isWhole = !isWhole;
    [simple.hidden, whole.element.hidden] = [isWhole, !isWhole];
    toggle.setAttribute("aria-pressed", String(isWhole));
    (isWhole ? whole.input : toggle).focus();
  }

  function read() {
    const asked = isWhole ? [whole] : fields;
    asked.forEach((field) => field.check());
    const wrong = asked.find((field) => field.isWrong());
    if (wrong) {
      wrong.input.focus();
      return null;
    }
    if (!isWhole) return gathered(fields);
    const text = whole.text();
    if (object(JSON.parse(text))) return text;
    whole.complain("an object is needed: { … }");
    whole.input.focus();
    return null;
  }

  return { element: el("div", {}, simple, whole.element, toggle), read };
}

function gathered(fields) {
  const parts = fields.map((field) => [field.key, field.text()]).filter(([, text]) => text !== "");
  return `{${parts.map(([key, text]) => `${JSON.stringify(key)}:${text}`).join(",")}}`;
}

const object = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

/** JSON with line breaks; as it came where that would round a number. */
export function pretty(text) {
  if (/\d{16}/.test(text)) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

// ---- one field

/** What a schema means: references within it followed, and of "this or null" this. */
function resolved(said, root, depth = 0) {
  if (!object(said) || depth > DEEPEST) return {};
  if (typeof said.$ref === "string" && said.$ref.startsWith("#/")) {
    let found = root;
    for (const step of said.$ref.slice(2).split("/")) {
      const key = step.replace(/~1/g, "/").replace(/~0/g, "~");
      found = object(found) && Object.hasOwn(found, key) ? found[key] : {};
    }
    return { ...resolved(found, root, depth + 1), ...without(said, "$ref") };
  }
  for (const several of ["anyOf", "oneOf"]) {
    const some = Array.isArray(said[several]) ? said[several].filter((one) => one?.type !== "null") : [];
    if (some.length === 1) return { ...resolved(some[0], root, depth + 1), ...without(said, several) };
  }
  if (Array.isArray(said.type)) {
    const types = said.type.filter((type) => type !== "null");
    return { ...said, type: types.length === 1 ? types[0] : undefined };
  }
  return said;
}

const without = (said, key) => Object.fromEntries(Object.entries(said).filter(([name]) => name !== key));

function fieldOf(key, said, isRequired) {
  const scalars = Array.isArray(said.enum) ? said.enum.filter((value) => !object(value) && !Array.isArray(value)).slice(0, 500) : [];
  if (scalars.length) return labelled(key, said, isRequired, choice(scalars, said, isRequired));
  if (said.type === "boolean") return labelled(key, said, isRequired, choice([true, false], said, isRequired));
  if (said.type === "integer" || said.type === "number") return labelled(key, said, isRequired, numeric(said, isRequired));
  if (said.type === "string") return labelled(key, said, isRequired, written(said, isRequired));
  return labelled(key, said, isRequired, json(said, isRequired));
}

/** Each gives its `input`, and `text()`: JSON, "" for what is left out; it throws a sentence for what is wrong. */
function choice(values, said, isRequired) {
  const options = values.map((value, index) => el("option", { value: index, selected: value === said.default }, String(value)));
  const input = el("select", {}, !isRequired || values.length > 1 ? [el("option", { value: "", selected: said.default === undefined }, isRequired ? "choose…" : "(not set)"), ...options] : options);
  return {
    input,
    text() {
      if (input.value !== "") return JSON.stringify(values[Number(input.value)]);
      if (isRequired) throw "it needs a choice";
      return "";
    },
  };
}

function numeric(said, isRequired) {
  const isWhole = said.type === "integer";
  const known = Number.isSafeInteger(said.default) || (!isWhole && Number.isFinite(said.default));
  const input = el("input", { inputmode: isWhole ? "numeric" : "decimal", autocomplete: "off", value: known ? said.default : null });
  return {
    input,
    text() {
      const given = input.value.trim();
      if (!given && !isRequired) return "";
      if (!NUMBER.test(given) || (isWhole && /[.eE]/.test(given))) throw isWhole ? "a whole number, please" : "a number, please";
      if (Number(given) < said.minimum) throw `at least ${said.minimum}`;
      if (Number(given) > said.maximum) throw `at most ${said.maximum}`;
      return given;
    },
  };
}

function written(said, isRequired) {
  const input = el("textarea", { rows: 1, spellcheck: "false", autocomplete: "off" });
  input.value = typeof said.default === "string" ? said.default : "";
  return { input, text: () => (input.value === "" && !isRequired ? "" : JSON.stringify(input.value)) };
}

function json(said, isRequired) {
  const input = el("textarea", { rows: 3, class: "code", spellcheck: "false", autocomplete: "off", placeholder: { array: "[ … ]", object: "{ … }" }[said.type] ?? "JSON" });
  if (said.default != null) input.value = JSON.stringify(said.default, null, 2);
  return {
    input,
    text() {
      const given = input.value.trim();
      if (!given && !isRequired) return "";
      let value;
      try {
        value = JSON.parse(given);
      } catch (problem) {
        throw `no JSON: ${problem.message}`;
      }
      if (said.type === "array" && !Array.isArray(value)) throw "a list is needed: [ … ]";
      if (said.type === "object" && !object(value)) throw "an object is needed: { … }";
      return given;
    },
  };
}

function labelled(key, said, isRequired, control) {
  const id = fresh("field");
  const wrong = el("p", { class: "bad", id: `${id}-wrong`, role: "alert" });
  const type = said.type ?? (said.enum ? "choice" : "any");
  const about = said.description ?? said.title;
  const hint = el("p", { class: "hint", id: `${id}-hint` }, typeof about === "string" ? plain(about, 1000) : "");
  control.input.id = id;
  control.input.setAttribute("aria-describedby", `${id}-hint ${id}-wrong`);
  if (isRequired) control.input.setAttribute("aria-required", "true");
  const limits = [typeof type === "string" ? type : "any", said.format, isRequired ? "required" : ""].filter((word) => typeof word === "string" && word);
  const element = el("div", { class: "field" }, el("label", { for: id }, name(key), " ", el("small", {}, limits.join(", "))), control.input, hint, wrong);
  const field = {
    key,
    element,
    input: control.input,
    text: control.text,
    complain(words) {
      say(wrong, words);
      control.input.setAttribute("aria-invalid", String(words !== ""));
    },
    isWrong() {
      try {
        control.text();
        return false;
      } catch {
        return true;
      }
    },
    check() {
      try {
        control.text();
        field.complain("");
      } catch (problem) {
        field.complain(String(problem));
      }
    },
  };
  return field;
}

const jsonField = (title, description) => labelled(title, { type: "object", description }, true, json({ type: "object" }, true));
