// The page of traces: slow and failed calls, and others that were kept, of all nodes.

import { everywhere, get } from "./ask.js";
import { fill, h } from "./dom.js";
import { clock, micros, things, words } from "./format.js";
import { Table } from "./table.js";

const EACH = 100;

export function tracesPage({ argument, refresh: now }) {
  const service = h("select", { id: "trace-service", onchange: now }, h("option", { value: "" }, "all services"));
  const outcome = h("select", { id: "trace-outcome", onchange: now },
    [["", "any outcome"], ["failed", "failed"], ["service_error", "service's own error"], ["ok", "ok"]].map(([value, label]) => h("option", { value }, label)));
  const least = h("input", { id: "trace-least", class: "number", type: "number", min: "0", step: "10", value: "0", onchange: now });
  const table = traceTable();
  const total = h("span", { class: "muted" });
  const controls = h("div", { class: "controls" }, h("label", {}, "Service", service), h("label", {}, "Outcome", outcome),
    h("label", {}, "At least", least, "ms"));
  const element = h("div", { class: "page" }, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Traces"), total), controls),
    h("section", { class: "panel", "aria-label": "Traces" }, table.element));
  let wanted = argument;

  const refresh = async (signal) => {
    const services = await get("services", "services", signal);
    options(service, services.map((service) => service.name), wanted || service.value);
    wanted = "";
    const filter = { service: service.value || null, outcome: outcome.value || null, min_ms: Number(least.value) || 0, max: EACH };
    const answers = await everywhere("traces", { traces: filter }, signal);
    const traces = together([...answers.values()].flat());
    total.textContent = `${things(traces.length, "trace")} kept, newest first`;
    table.show(traces);
  };
  return { title: "Traces", element, refresh };
}

function options(select, names, chosen) {
  const wanted = ["", ...new Set([...names, ...(chosen ? [chosen] : [])].sort())];
  if (wanted.join() !== [...select.options].map((option) => option.value).join()) {
    fill(select, wanted.map((name) => h("option", { value: name }, name || "all services")));
  }
  select.value = chosen;
}

// One row for each trace: its caller's word where that was kept, and every node that kept a part.
function together(infos) {
  const traces = new Map();
  for (const info of infos) {
    const known = traces.get(info.trace);
    const nodes = new Set([...(known?.nodes ?? []), info.node, ...(info.peer ? [info.peer] : [])]);
    const first = !known || info.duration_us > known.duration_us ? info : known;
    traces.set(info.trace, { ...first, nodes });
  }
  return [...traces.values()];
}

function traceTable() {
  return new Table("Traces", [
    { label: "Method", value: (trace) => `${trace.service}/${trace.method}`, cell: (trace) => `${trace.service}/${trace.method}` },
    { label: "When", value: (trace) => trace.unix_us, cell: (trace) => [clock(trace.unix_us / 1000), "muted"], number: true },
    { label: "Took", value: (trace) => trace.duration_us, cell: (trace) => micros(trace.duration_us), number: true },
    { label: "Outcome", value: (trace) => trace.status, cell: outcomeOf },
    { label: "Nodes", value: (trace) => trace.nodes.size, cell: (trace) => [[...trace.nodes].join(", "), "muted"], wide: true },
    { label: "Detail", cell: (trace) => [trace.detail, "muted"], wide: true },
  ], { key: (trace) => trace.trace, sort: [1, true], open: (trace) => `#/trace/${trace.trace}`, empty: "No such call was kept." });
}

function outcomeOf(trace) {
  if (trace.status === "ok") return ["ok", "good"];
  const known = trace.outcome ? `, ${words(trace.outcome)}` : "";
  return [words(trace.status) + known, trace.status === "service_error" ? "warn" : "bad"];
}
