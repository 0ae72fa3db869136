// The page of a node's actors: who supervises whom, what restarted and why, what waits in queues and for whom.

import { get, of, Unanswered } from "./ask.js";
import { alarms } from "./alarms.js";
import { fill, h, panel } from "./dom.js";
import { clock, millis, things, words } from "./format.js";
import { severity } from "./sentences.js";
import { Table } from "./table.js";
import { ActorTree } from "./tree.js";

const RESTARTS = 100;

export function actorsPage({ traffic, argument, signal }) {
  const select = h("select", { id: "actors-node", onchange: () => (location.hash = `#/actors/${encodeURIComponent(select.value)}`) });
  const alarm = h("div");
  const tree = new ActorTree();
  const waits = waitTable();
  const restarts = restartTable();
  const total = h("span", { class: "muted" });
  const past = new Map();
  let after = 0;
  const element = h("div", { class: "page" },
    h("div", { class: "head" }, h("div", {}, h("h1", {}, "Actors"), total), h("div", { class: "controls" }, h("label", {}, "Node", select))),
    alarm, panel("Supervision", tree.filter, tree.element),
    h("div", { class: "columns" }, panel("Calls that handlers wait for, on all nodes", null, waits.element), panel("Restarts", null, restarts.element)));

  const refresh = async () => {
    const nodes = (await get("nodes", "nodes", signal)).map((node) => node.name);
    const node = argument || nodes[0];
    const known = [...new Set([...nodes, node])].sort();
    if (known.join() !== [...select.options].map((option) => option.value).join()) {
      fill(select, known.map((name) => h("option", { value: name }, name)));
    }
    select.value = node;
    const events = of(node, "events", { events: { after, max: RESTARTS, wait_ms: 0 } }, signal).catch(unlessUnanswered);
    const [actors, told] = await Promise.all([of(node, "tree", "tree", signal), events, traffic.refresh(signal)]);
    const waiting = traffic.waiting();
    const own = waiting.filter((wait) => wait.at === node);
    const queues = new Map(traffic.queues().filter((queue) => queue.node === node).map((queue) => [queue.service, queue]));
    tree.show(actors, own, queues);
    const restarted = actors.reduce((sum, actor) => sum + actor.restarts, 0);
    total.textContent = `${things(actors.length, "actor")} on ${node}, ${things(restarted, "restart")}`;
    for (const event of told?.events ?? []) {
      after = event.seq;
      if (/restarted$|stopped$/.test(event.event) && (event.service || event.actor)) past.set(event.seq, event);
    }
    for (const seq of [...past.keys()].slice(0, Math.max(0, past.size - RESTARTS))) past.delete(seq);
    restarts.show([...past.values()]);
    waits.show(waiting);
    alarms(alarm, traffic);
  };
  return { title: "Actors", element, refresh };
}

function unlessUnanswered(error) {
  if (error instanceof Unanswered) return null;
  throw error;
}

function waitTable() {
  return new Table("Calls that handlers wait for", [
    { label: "Waits", cell: (wait) => `${wait.from}/${wait.handler} on ${wait.at}` },
    { label: "For", value: (wait) => `${wait.service}/${wait.method}`, cell: (wait) => `${wait.service}/${wait.method}${wait.node ? ` on ${wait.node}` : ""}` },
    { label: "Since", value: (wait) => wait.for_ms, cell: (wait) => [millis(wait.for_ms), wait.for_ms > 1000 ? "warn" : null], number: true },
    { label: "Alone", cell: (wait) => [wait.exclusive ? "yes" : "no", wait.exclusive ? null : "faint"], wide: true },
  ], { key: (wait) => [wait.at, wait.from, wait.handler_id, wait.service, wait.method].join("\n"), sort: [2, true], empty: "No handler waits for a call." });
}

function restartTable() {
  return new Table("Restarts", [
    { label: "Who", cell: (event) => event.service ?? event.actor },
    { label: "When", value: (event) => event.seq, cell: (event) => [clock(event.unix_ms), "muted"], number: true },
    { label: "What", cell: (event) => [words(event.event).split(" ").at(-1), severity(event)] },
    { label: "Why", cell: (event) => [event.why, "muted"] },
  ], { key: (event) => event.seq, sort: [1, true], empty: "Nothing was restarted." });
}
