// The page of a node: who it is, what it serves, whom it calls, with whom it has sessions.

import { get, of, Unanswered } from "./ask.js";
import { Facts, Figures, h, panel, state } from "./dom.js";
import { count, day, micros, millis, percent, rate, tone } from "./format.js";
import { loadColumns } from "./loads.js";
import { queueTable } from "./queues.js";
import { Table } from "./table.js";

export function nodePage({ traffic, argument: name }) {
  const figures = new Figures();
  const standing = h("span");
  const facts = new Facts();
  const queues = queueTable("Services", false);
  const served = flowTable("Callers", [{ label: "From", cell: (flow) => [flow.from || flow.node, "muted"] }], "Nobody calls it now.");
  const calls = flowTable("Calls", [
    { label: "By", cell: (flow) => [flow.from || "program", "muted"], wide: true },
    { label: "At", cell: (flow) => [flow.node || "–", "muted"] },
  ], "It calls nobody now.");
  const sessions = sessionTable();
  const link = h("a", { href: `#/actors/${encodeURIComponent(name)}` }, "Actors");
  const element = h("div", { class: "page" },
    h("div", { class: "head" }, h("div", {}, h("p", { class: "crumb" }, h("a", { href: "#/mesh" }, "Mesh"), " / node"), h("h1", {}, name)), standing),
    figures.element,
    panel("Services", link, queues.element),
    h("div", { class: "columns" }, panel("Who calls it", null, served.element), panel("Whom it calls", null, calls.element)),
    h("div", { class: "columns" }, panel("Sessions", null, sessions.element), panel("About", null, h("div", { class: "panel-body" }, facts.element))));

  const refresh = async (signal) => {
    const about = of(name, "about", "about", signal).catch(unlessUnanswered);
    const [nodes, told] = await Promise.all([get("nodes", "nodes", signal), about, traffic.refresh(signal)]);
    const node = nodes.find((node) => node.name === name);
    const known = node?.state ?? "gone";
    if (standing.said !== known) standing.replaceChildren(state((standing.said = known), tone(known)));
    const load = traffic.group("served", (at) => (at === name ? "all" : null)).get("all");
    const outgoing = traffic.group("flows", (at) => (at === name ? "all" : null)).get("all");
    figures.show([
      ["serves, per second", rate(load?.rate ?? 0)],
      ["failed", percent(load?.failedShare ?? null), "", load?.failedShare > 0.001 ? "bad" : null],
      ["99 % within", micros(load?.p99)],
      ["calls others, per second", rate(outgoing?.rate ?? 0)],
      ["up for", millis(told?.up_ms)],
    ]);
    facts.show(aboutFacts(node, told));
    queues.show(traffic.queues().filter((queue) => queue.node === name));
    served.show(flows(traffic, "served", name));
    calls.show(flows(traffic, "flows", name));
    sessions.show(traffic.of(name)?.sessions ?? []);
  };
  return { title: name, element, refresh };
}

// A node that is gone answers nothing, and its page is still one.
function unlessUnanswered(error) {
  if (error instanceof Unanswered) return null;
  throw error;
}

function aboutFacts(node, about) {
  return [
    ["Id", about?.id ?? node?.id],
    ["Addresses", (about?.addresses ?? node?.addresses ?? []).join(", ")],
    ["Zone", node?.zone],
    ["Version", about?.version],
    ["Mesh", about?.mesh],
    ["Incarnation", about?.incarnation ?? node?.incarnation],
    ["Certificate ends", about?.certificate_expires && day(about.certificate_expires)],
    ["Authority ends", about?.authority_expires && day(about.authority_expires)],
    ["Cannot reach", about?.unreachable.map(({ peer, addresses, why }) => `${peer ?? addresses.join(", ")}: ${why}`).join("; ")],
    ["Given up", Object.entries(about?.given_up ?? {}).map(([service, why]) => `${service}: ${why}`).join("; ")],
    ["Speaks", about?.protocols.join(", ")],
    ["Rejected gossip", Object.entries(about?.rejected ?? {}).filter(([, times]) => times > 0).map(([why, times]) => `${why} ${count(times)}`).join(", ")],
  ];
}

function flows(traffic, side, name) {
  const loads = traffic.group(side, (at, flow) => (at === name ? [flow.from, flow.node, flow.service, flow.method].join("\n") : null));
  return [...loads].map(([key, load]) => {
    const [from, node, service, method] = key.split("\n");
    return { key, from, node, service, method, load };
  });
}

function flowTable(label, columns, empty) {
  return new Table(label, [
    { label: "Method", value: (flow) => `${flow.service}/${flow.method}`, cell: (flow) => `${flow.service}/${flow.method}` },
    ...columns,
    ...loadColumns((flow) => flow.load),
  ], { key: (flow) => flow.key, sort: [columns.length + 1, true], empty, shown: 30, open: (flow) => `#/service/${encodeURIComponent(flow.service)}` });
}

function sessionTable() {
  return new Table("Sessions", [
    { label: "Peer", cell: (session) => session.peer },
    { label: "Path", cell: (session) => session.path },
    { label: "Round trip", value: (session) => session.round_trip_us, cell: (session) => micros(session.round_trip_us), number: true },
    { label: "Up for", value: (session) => session.up_ms, cell: (session) => millis(session.up_ms), number: true },
    { label: "Channels", value: (session) => session.channels, cell: (session) => count(session.channels), number: true, wide: true },
    { label: "Dialled", cell: (session) => (session.dialled ? "by it" : "by the peer"), wide: true },
  ], { key: (session) => session.peer, open: (session) => `#/node/${encodeURIComponent(session.peer)}`, empty: "It has no sessions." });
}
