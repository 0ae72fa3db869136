// The table of queues: what waits at the endpoints of services.

import { attr, h, s, text } from "./dom.js";
import { count, millis } from "./format.js";
import { Table } from "./table.js";

// A bar of how full a queue is.
function meter(td, depth, capacity) {
  let bar = td.querySelector(".full");
  if (!bar) {
    bar = s("rect", { class: "full", height: 6, rx: 3 });
    const track = s("rect", { width: 56, height: 6, rx: 3 });
    td.replaceChildren(s("svg", { class: "meter", viewBox: "0 0 56 6", "aria-hidden": "true" }, track, bar), h("span"));
  }
  const share = capacity > 0 ? depth / capacity : 0;
  attr(bar, "width", depth > 0 ? Math.max(2, Math.min(56, 56 * share)).toFixed(1) : 0);
  attr(bar, "class", `full ${share > 0.8 ? "bad" : share > 0.4 ? "warn" : ""}`);
  text(td.lastChild, `${count(depth)} of ${count(capacity)}`);
}

export function queueTable(label, byNode) {
  const first = byNode
    ? { label: "Node", cell: (queue) => queue.node }
    : { label: "Service", cell: (queue) => queue.service };
  const open = byNode
    ? (queue) => `#/node/${encodeURIComponent(queue.node)}`
    : (queue) => `#/service/${encodeURIComponent(queue.service)}`;
  return new Table(label, [
    first,
    { label: "State", cell: (queue) => [queue.ready ? "ready" : "warming", queue.ready ? "good" : "warn"] },
    { label: "Queue", value: (queue) => queue.depth, cell: (queue, td) => fullness(td, queue) },
    { label: "Oldest", value: (queue) => queue.oldest_ms, cell: (queue) => [queue.depth > 0 ? millis(queue.oldest_ms) : "–", queue.oldest_ms > 1000 ? "warn" : null], number: true },
    { label: "Runs alone", value: (queue) => queue.running_ms, cell: running, wide: true },
    { label: "Restarts", value: (queue) => queue.restarts, cell: (queue) => [count(queue.restarts), queue.restarts > 0 ? "warn" : null], number: true, wide: true },
  ], { key: (queue) => `${queue.node} ${queue.service}`, open, empty: "It serves nothing." });
}

function running(queue) {
  if (!queue.running) return ["–", "faint"];
  return [`${queue.running}, ${millis(queue.running_ms)}`, queue.running_ms > 1000 ? "warn" : null];
}

// An element of its own, so that the table has one node to show.
function fullness(td, { depth, capacity }) {
  const holder = (td.holder ??= h("span"));
  meter(holder, depth, capacity);
  return holder;
}
