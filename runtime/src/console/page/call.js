// The form that calls a method with JSON, and what came of it.

import { call, everywhere } from "./ask.js";
import { fill, h } from "./dom.js";
import { micros, words } from "./format.js";
import { pretty } from "./json.js";
import { Waterfall } from "./waterfall.js";

// Where the answer takes longer than its call may, beside it.
const GRACE_MS = 3000;

export class CallForm {
  constructor(service) {
    this.service = service;
    this.methods = [];
    this.method = h("select", { id: "call-method", required: true, onchange: () => this.#template() });
    this.timeout = h("input", { id: "call-timeout", class: "number", type: "number", min: "1", max: "600", value: "10" });
    this.input = h("textarea", {
      id: "call-arguments", spellcheck: false, rows: 4, "aria-describedby": "call-hint", onkeydown: (event) => this.#key(event),
    });
    this.button = h("button", { class: "primary", type: "submit" }, "Call");
    this.hint = h("p", { id: "call-hint", class: "faint" }, "An object by the names of the parameters. Ctrl+Enter calls.");
    this.result = h("div", { class: "form", "aria-live": "polite" });
    this.form = h("form", { class: "form", onsubmit: (event) => this.#submit(event) },
      h("div", { class: "controls" }, h("label", {}, "Method", this.method), h("label", {}, "Seconds", this.timeout)),
      h("label", { class: "hidden", for: "call-arguments" }, "Arguments as JSON"), this.input,
      h("div", { class: "controls" }, this.button, this.hint));
    this.element = h("div", { class: "form" }, this.form, this.result);
  }

  // Methods with streams are for programs, and for `qmesh call`.
  learn(methods) {
    const callable = methods.filter((method) => !method.upload && !method.download);
    const names = callable.map((method) => method.name).join(" ");
    if (names === this.methods.map((method) => method.name).join(" ")) return;
    this.methods = callable;
    fill(this.method, callable.map((method) => h("option", { value: method.name }, method.name)));
    this.button.disabled = callable.length === 0;
    this.#template();
  }

  // An example of the arguments, unless somebody has written some.
  #template() {
    if (this.input.value !== (this.example ?? "")) return;
    const method = this.methods.find((method) => method.name === this.method.value);
    this.example = method ? example(method.signature) : "";
    this.input.value = this.example;
  }

  #key(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
  }

  async #submit(event) {
    event.preventDefault();
    const given = this.input.value.trim() || "{}";
    try {
      JSON.parse(given);
    } catch (error) {
      this.#say("bad", "The arguments are no JSON", error.message);
      return;
    }
    const timeout = Number(this.timeout.value || 10) * 1000;
    const query = { service: this.service, method: this.method.value, timeout_ms: timeout };
    this.button.disabled = true;
    this.#say("muted", "Under way…");
    const began = performance.now();
    try {
      const answer = await call(query, given, timeout + GRACE_MS);
      this.#answered(answer, (performance.now() - began) * 1000);
      if (answer.trace) await this.#follow(answer.trace);
    } catch (error) {
      this.#say("bad", "The console's node gave no answer", error.message);
    } finally {
      this.button.disabled = false;
    }
  }

  // Shows the trace of the call, as far as nodes have kept it by now.
  async #follow(trace) {
    const answers = await everywhere("spans", { trace: { trace } });
    const spans = [...answers.values()].flat();
    if (spans.length === 0) return;
    const fall = new Waterfall();
    fall.show(spans);
    const link = h("a", { href: `#/trace/${trace}` }, "Its trace");
    this.result.append(h("div", { class: "panel" }, h("div", { class: "panel-head" }, link, fall.legend), fall.list));
  }

  #answered({ kind, content, json }, took) {
    const after = `after ${micros(took)}`;
    if (kind === "value") this.#say("good", "Answered", after, pretty(json));
    else if (kind === "service_error") this.#say("warn", "The service's own error", after, pretty(json));
    else if (kind === "failed") this.#say("bad", `Failed: ${words(content.outcome)}, ${words(content.reason)}`, after, content.detail);
    else this.#say("bad", "Not understood", after, content);
  }

  #say(tone, title, more = "", content) {
    const body = content === undefined ? null : h("pre", { class: "answer", tabindex: "0" }, content);
    fill(this.result, h("p", { class: "result-head" }, h("strong", { class: tone }, title), h("span", { class: "muted" }, more)), body);
  }
}

// `{"text": ""}` for `say(text: String) -> String`.
function example(signature) {
  const inside = /^[^(]*\((.*)\)(?: ->|$)/.exec(signature)?.[1] ?? "";
  const given = {};
  for (const parameter of split(inside)) {
    const [name, ...type] = parameter.split(":");
    if (name) given[name.trim()] = blank(type.join(":").trim());
  }
  return JSON.stringify(given, null, 2);
}

// At the commas that stand in no brackets.
function split(list) {
  const parts = [""];
  let depth = 0;
  for (const letter of list) {
    if ("<([".includes(letter)) depth += 1;
    if (">)]".includes(letter)) depth -= 1;
    if (letter === "," && depth === 0) parts.push("");
    else parts[parts.length - 1] += letter;
  }
  return parts;
}

function blank(type) {
  if (/^[ui](8|16|32|64|128|size)$/.test(type)) return 0;
  if (/^f(32|64)$/.test(type)) return 0;
  if (type === "bool") return false;
  if (/^(Vec|HashSet|BTreeSet|VecDeque|\[)/.test(type)) return [];
  if (type === "String" || type === "char") return "";
  return /^Option/.test(type) ? null : {};
}
