// The page of all services: who offers them, and how their calls go.

import { get } from "./ask.js";
import { alarms } from "./alarms.js";
import { h } from "./dom.js";
import { count, few, millis, things } from "./format.js";
import { loadColumns } from "./loads.js";
import { Spark } from "./spark.js";
import { Table } from "./table.js";

export function servicesPage({ traffic }) {
  const alarm = h("div");
  const filter = h("input", { type: "search", placeholder: "Filter by name or node", "aria-label": "Filter services" });
  const table = serviceTable(traffic);
  const total = h("span", { class: "muted" });
  let rows = [];
  const show = () => {
    const wanted = filter.value.trim().toLowerCase();
    table.show(rows.filter((row) => [row.name, ...row.nodes].some((name) => name.toLowerCase().includes(wanted))));
  };
  filter.addEventListener("input", show);
  const element = h("div", { class: "page" }, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Services"), total), filter),
    alarm, h("section", { class: "panel", "aria-label": "Services" }, table.element));

  const refresh = async (signal) => {
    const [services] = await Promise.all([get("services", "services", signal), traffic.refresh(signal)]);
    const loads = traffic.group("served", (_, flow) => flow.service);
    rows = services.map((service) => {
      const queues = traffic.queues(service.name);
      const [depth, oldest] = [queues.reduce((sum, queue) => sum + queue.depth, 0), Math.max(0, ...queues.map((queue) => queue.oldest_ms))];
      return { ...service, load: loads.get(service.name) ?? null, depth, oldest };
    });
    total.textContent = `${things(services.length, "service")}, ${things(services.reduce((sum, service) => sum + service.nodes.length, 0), "endpoint")}`;
    show();
    alarms(alarm, traffic);
  };
  return { title: "Services", element, refresh };
}

function serviceTable(traffic) {
  return new Table("Services", [
    { label: "Service", cell: (service) => service.name },
    { label: "Endpoints", value: (service) => service.nodes.length, cell: endpoints },
    { label: "Version", cell: (service) => [service.versions.join(", ") || "–", "muted"], wide: true },
    ...loadColumns((service) => service.load ?? { rate: 0, failedShare: null, p50: null, p99: null, inFlight: 0 }, { inFlight: true }),
    { label: "Queue", value: (service) => service.depth, cell: (service) => count(service.depth), number: true, wide: true },
    { label: "Oldest", value: (service) => service.oldest, cell: (service) => [service.depth > 0 ? millis(service.oldest) : "–", service.oldest > 1000 ? "warn" : null], number: true },
    { label: "", hint: "Rate of the last two minutes", cell: (service, td) => spark(td, traffic.history(service.name)), wide: true },
  ], { key: (service) => service.name, open: (service) => `#/service/${encodeURIComponent(service.name)}`, empty: "No service has this name." });
}

function endpoints(service) {
  const warming = service.warming.length > 0 ? `, ${service.warming.length} warming` : "";
  return [few(service.nodes, 3) + warming, "muted"];
}

function spark(td, history) {
  td.spark ??= new Spark();
  td.spark.show(history);
  return td.spark.element;
}
