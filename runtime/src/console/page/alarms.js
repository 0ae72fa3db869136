// What nobody should overlook, on whatever page: calls that wait for each other in a circle.

import { h, text } from "./dom.js";
import { millis, things } from "./format.js";

export function alarms(element, { deadlocks }) {
  const key = JSON.stringify(deadlocks.map(({ circle }) => circle.map(([node, wait]) => [node, wait.from, wait.handler_id, wait.node, wait.service])));
  if (element.said !== key) {
    element.said = key;
    element.hidden = deadlocks.length === 0;
    element.replaceChildren(...deadlocks.map(({ circle }) => alarm(circle)));
  }
  deadlocks.forEach(({ for_ms: since, held_up: others }, at) => {
    const more = others > 0 ? `, ${things(others, "other call")} behind ${others === 1 ? "it" : "them"}` : "";
    text(element.children[at].querySelector(".since"), `${millis(since)} by now${more}`);
  });
}

function alarm(circle) {
  const steps = circle.flatMap(([node, wait]) => [part(wait.from, node, wait.handler), h("span", { class: "muted" }, "waits for")]);
  const [[node, first]] = circle;
  const title = circle.length === 1 ? "a handler waits for its own service" : `${circle.length} handlers wait for each other`;
  return h("section", { class: "alarm", role: "alert" },
    h("h2", {}, `Deadlock: ${title}, `, h("span", { class: "since" })),
    h("p", { class: "cycle" }, steps, part(first.from, node, first.handler)),
    h("p", { class: "muted" }, "Each keeps its service for itself while it waits, so none of them ends before its deadline. ",
      h("a", { href: `#/actors/${encodeURIComponent(node)}` }, "Its actors")));
}

function part(service, node, handler) {
  return h("span", {}, h("strong", {}, `${service}/${handler}`), h("span", { class: "muted" }, ` on ${node}`));
}
