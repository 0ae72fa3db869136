// The page of a service: its methods, its callers, its endpoints, and a form that calls it.

import { get, Unanswered } from "./ask.js";
import { CallForm } from "./call.js";
import { Figures, h, panel } from "./dom.js";
import { micros, percent, rate } from "./format.js";
import { failures, loadColumns } from "./loads.js";
import { queueTable } from "./queues.js";
import { Table } from "./table.js";

// Methods change with versions alone.
const METHODS_MS = 10_000;

export function servicePage({ traffic, argument: name }) {
  const figures = new Figures();
  const methods = methodTable();
  const callers = callerTable();
  const queues = queueTable("Endpoints", true);
  const form = new CallForm(name);
  const traces = h("a", { href: `#/traces/${encodeURIComponent(name)}` }, "Traces");
  let known = [];
  let asked = -Infinity;
  const element = h("div", { class: "page" },
    h("div", {}, h("p", { class: "crumb" }, h("a", { href: "#/services" }, "Services"), " / service"), h("h1", {}, name)),
    figures.element, panel("Methods", traces, methods.element),
    h("div", { class: "columns" }, panel("Callers", null, callers.element), panel("Endpoints", null, queues.element)),
    panel("Call", null, h("div", { class: "panel-body" }, form.element)));

  // Whoever offers the service describes it. Where nobody does, what was known before stays.
  const learn = async (signal) => {
    if (performance.now() - asked < METHODS_MS) return;
    asked = performance.now();
    try {
      known = await get("methods", { methods: { service: name, timeout_ms: 2000 } }, signal);
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
    }
    form.learn(known);
  };
  const refresh = async (signal) => {
    await Promise.all([learn(signal), traffic.refresh(signal)]);
    const load = traffic.group("served", (_, flow) => (flow.service === name ? "all" : null)).get("all");
    figures.show([
      ["calls per second", rate(load?.rate ?? 0)],
      ["failed", percent(load?.failedShare ?? null), "", load?.failedShare > 0.001 ? "bad" : null],
      ["half within", micros(load?.p50)],
      ["99 % within", micros(load?.p99)],
      ["in flight", String(load?.inFlight ?? 0)],
    ]);
    const loads = traffic.group("served", (_, flow) => (flow.service === name ? flow.method : null));
    methods.show(known.map((method) => ({ ...method, load: loads.get(method.name) ?? null })));
    callers.show(callersOf(traffic, name));
    queues.show(traffic.queues(name));
  };
  return { title: name, element, refresh };
}

// Those who call it, as they see it; guests by the node that they ask.
function callersOf(traffic, name) {
  const key = (at, flow) => (flow.service === name ? `${flow.from}\n${at}` : null);
  return [...traffic.group("flows", key)].map(([key, load]) => {
    const [from, node] = key.split("\n");
    return { key, from, node, load };
  });
}

function methodTable() {
  return new Table("Methods", [
    { label: "Method", value: (method) => method.name, cell: described },
    ...loadColumns((method) => method.load ?? { rate: 0, failedShare: null, p50: null, p99: null, inFlight: 0 }, { inFlight: true }),
    { label: "How", cell: (method) => [failures(method.load), "bad"], wide: true },
  ], { key: (method) => method.name, empty: "Nobody describes its methods." });
}

function described(method, td) {
  if (td.said === method.signature) return td.firstChild;
  td.said = method.signature;
  const marks = [
    ["one way", method.one_way], ["idempotent", method.idempotent], ["takes a stream", method.upload], ["gives a stream", method.download],
  ];
  const chips = marks.filter(([, is]) => is).map(([mark]) => h("span", { class: "chip" }, mark));
  return h("div", {}, h("code", {}, method.signature.replace("->", "→")),
    h("div", { class: "chips" }, chips));
}

function callerTable() {
  return new Table("Callers", [
    { label: "Caller", value: (caller) => caller.from || caller.node, cell: (caller) => caller.from || "program" },
    { label: "Node", cell: (caller) => [caller.node || "–", "muted"] },
    ...loadColumns((caller) => caller.load),
  ], { key: (caller) => caller.key, sort: [2, true], empty: "Nobody calls it now." });
}
