// The page of the whole mesh: who is there, who calls whom, and how that goes.

import { get } from "./ask.js";
import { alarms } from "./alarms.js";
import { Figures, h, panel, s, state } from "./dom.js";
import { count, few, micros, percent, rate, tone } from "./format.js";
import { Graph } from "./graph.js";
import { loadColumns } from "./loads.js";
import { Spark } from "./spark.js";
import { Table } from "./table.js";

// For so long a node that is gone is still shown.
const MOURN_MS = 20_000;

export function meshPage({ traffic }) {
  const spark = new Spark(320, 44);
  const figures = new Figures(h("div", { class: "figure grow" }, spark.element, h("div", { class: "label" }, "calls per second, two minutes")));
  const graph = new Graph();
  const alarm = h("div");
  const nodes = nodeTable();
  const calls = callTable();
  const sessions = sessionTable();
  const seen = new Map();
  const element = h("div", { class: "page" }, h("h1", { class: "hidden" }, "Mesh"), alarm, figures.element,
    panel("Calls between nodes", legend(), h("div", { class: "panel-body" }, graph.element)),
    panel("Nodes", null, nodes.element),
    h("div", { class: "columns" }, panel("Calls", null, calls.element), panel("Sessions", null, sessions.element)));

  const refresh = async (signal) => {
    const [told] = await Promise.all([get("nodes", "nodes", signal), traffic.refresh(signal)]);
    const served = traffic.group("served", (node) => node);
    const all = remember(seen, told).map((node) => ({ ...node, load: served.get(node.name) ?? null, rate: served.get(node.name)?.rate ?? null }));
    const edges = [...traffic.group("flows", (node, flow) => `${node}\n${flow.node}`)];
    const arrows = edges.map(([key, load]) => ({ from: key.split("\n")[0], to: key.split("\n")[1], load }));
    figures.show(summary(all, traffic));
    spark.show(traffic.history());
    graph.show(all, arrows, traffic.sessions());
    nodes.show(all);
    calls.show(arrows);
    sessions.show(traffic.sessions());
    alarms(alarm, traffic);
  };
  return { title: "Mesh", element, refresh };
}

// The nodes of now, and those that were here a moment ago.
function remember(seen, told) {
  const now = Date.now();
  for (const node of told) seen.set(node.name, { node, at: now });
  for (const [name, { at }] of seen) if (now - at > MOURN_MS) seen.delete(name);
  const all = [...seen.values()].map(({ node, at }) => (at === now ? node : { ...node, state: "gone", connected: false }));
  return all.sort((one, other) => one.name.localeCompare(other.name, "en", { numeric: true }));
}

function summary(nodes, traffic) {
  const load = traffic.total();
  const there = nodes.filter((node) => node.state !== "gone").length;
  const services = new Set(nodes.flatMap((node) => (node.state === "gone" ? [] : node.services)));
  return [
    ["nodes", count(there), nodes.length > there ? `${nodes.length - there} gone` : ""],
    ["services", count(services.size)],
    ["calls per second", rate(load.rate)],
    ["failed", percent(load.failedShare), "", load.failedShare > 0.001 ? "bad" : null],
    ["half within", micros(load.p50)],
    ["99 % within", micros(load.p99)],
  ];
}

function nodeTable() {
  return new Table("Nodes", [
    { label: "Node", cell: (node) => node.name },
    { label: "State", value: (node) => node.state, cell: (node, td) => (td.said === node.state ? td.firstChild : ((td.said = node.state), state(node.state, tone(node.state)))) },
    { label: "Services", cell: (node) => [few(node.services), "muted"], wide: true },
    { label: "Serves", value: (node) => node.rate, cell: (node) => `${rate(node.rate)}/s`, number: true },
    { label: "Round trip", value: (node) => node.round_trip_us, cell: (node) => micros(node.round_trip_us), number: true },
    { label: "Address", cell: (node) => [node.addresses.join(", "), "muted"], wide: true },
  ], { key: (node) => node.id, shown: 30, open: (node) => `#/node/${encodeURIComponent(node.name)}` });
}

function callTable() {
  return new Table("Calls between nodes", [
    { label: "From → to", value: (call) => `${call.from} ${call.to}`, cell: (call) => `${call.from} → ${call.to === call.from ? "itself" : call.to || "nobody"}` },
    ...loadColumns((call) => call.load),
  ], { key: (call) => `${call.from}\n${call.to}`, sort: [1, true], shown: 20, empty: "No node calls another." });
}

function sessionTable() {
  return new Table("Sessions", [
    { label: "Nodes", value: (session) => `${session.node} ${session.peer}`, cell: (session) => `${session.node} – ${session.peer}` },
    { label: "Path", cell: (session) => session.path },
    { label: "Round trip", value: (session) => session.round_trip_us, cell: (session) => micros(session.round_trip_us), number: true },
    { label: "Channels", value: (session) => session.channels, cell: (session) => count(session.channels), number: true, wide: true },
  ], { key: (session) => [session.node, session.peer].sort().join("\n"), shown: 20, empty: "No sessions: the mesh has one node." });
}

function legend() {
  const item = (kind, words) => h("span", {}, s("svg", { class: "key", viewBox: "0 0 22 8" }, s("path", { class: kind, d: "M0 4H22" })), words);
  return h("div", { class: "legend" }, item("call", "calls"), item("call failing", "some of them fail"), item("session", "sessions"));
}
