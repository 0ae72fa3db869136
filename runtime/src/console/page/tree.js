// A supervision tree: parents above their children, which can be folded away.

import { attr, fill, h, Keyed, level, text } from "./dom.js";
import { count, millis, tone } from "./format.js";

// Children of one kind without children of their own are gathered in one row where there are more.
const ALIKE = 5;
const ROWS = 400;

export class ActorTree {
  constructor() {
    this.folded = new Map();
    this.filter = h("input", { type: "search", placeholder: "Filter actors", "aria-label": "Filter actors", oninput: () => this.last && this.show(...this.last) });
    this.body = h("tbody");
    const heads = [["Actor"], ["State"], ["Restarts", "number-cell"], ["Queue", "number-cell"], ["Oldest", "number-cell"], ["Waits for", "wide-only"], ["Failed last with", "wide-only"]];
    const table = h("table", { "aria-label": "Actors" }, h("thead", {}, h("tr", {}, heads.map(([label, name]) => h("th", { scope: "col", class: name ?? null }, label)))), this.body);
    this.more = h("p", { class: "more faint" });
    this.element = h("div", {}, h("div", { class: "scroll" }, table), this.more);
    this.keyed = new Keyed(this.body, (row) => row.path, () => this.#make(), (tr, row) => this.#update(tr, row));
  }

  // Actors by path; waits are calls of this node's handlers, queues are by service.
  show(actors, waits, queues) {
    this.last = [actors, waits, queues];
    const rows = this.#rows(actors);
    for (const row of rows) {
      const service = row.actor?.kind === "service" ? row.path.replace(/^node\/service\//, "") : null;
      row.waits = service ? waits.filter((wait) => wait.from === service) : [];
      row.queue = service ? queues.get(service) : null;
    }
    this.keyed.show(rows.slice(0, ROWS));
    this.more.hidden = rows.length <= ROWS;
    text(this.more, `${count(rows.length - ROWS)} more: fold some, or filter.`);
  }

  // Those that are shown: all below an unfolded parent, or all that the filter finds, and what is above them.
  #rows(actors) {
    const byPath = new Map(actors.map((actor) => [actor.path, actor]));
    const below = new Map();
    for (const { path } of actors) {
      const parent = parentOf(path, byPath);
      below.set(parent, [...(below.get(parent) ?? []), path]);
    }
    const wanted = this.filter.value.trim().toLowerCase();
    const found = new Set();
    if (wanted) {
      for (const { path } of actors.filter((actor) => actor.path.toLowerCase().includes(wanted))) {
        for (let at = path; at !== null; at = parentOf(at, byPath)) found.add(at);
      }
    }
    const rows = [];
    const walk = (path, depth, parent) => {
      if (wanted && !found.has(path)) return;
      const actor = byPath.get(path);
      const children = gathered(path, below, byPath);
      const isFolded = !wanted && children.length > 0 && (this.folded.get(path) ?? (!actor || actor.kind === "connection"));
      const name = parent === null ? path : path.slice(parent.length + 1);
      const all = actor ? children.length : below.get(path).length;
      rows.push({ path, name, depth, actor, children: all, isFolded });
      if (!isFolded) for (const child of children) walk(child, depth + 1, path);
    };
    for (const root of below.get(null) ?? []) walk(root, 0, null);
    return rows;
  }

  #make() {
    const toggle = h("button", { type: "button" });
    const tr = h("tr", {},
      h("td", {}, h("span", { class: "tree-name" }, h("span"), toggle, h("span", { class: "text" }), h("span", { class: "faint" }))),
      h("td", {}, h("span", { class: "state" }, h("span"), h("span"))),
      h("td", { class: "number-cell" }), h("td", { class: "number-cell" }), h("td", { class: "number-cell" }), h("td", { class: "wide-only" }), h("td", { class: "wide-only muted" }));
    toggle.addEventListener("click", () => {
      this.folded.set(tr.row.path, !tr.row.isFolded);
      this.show(...this.last);
    });
    return tr;
  }

  #update(tr, row) {
    tr.row = row;
    const { actor } = row;
    const [name, standing, restarts, depth, oldest, waits, failed] = tr.children;
    const [indent, toggle, label, folded] = name.firstChild.children;
    attr(indent, "class", row.depth > 0 ? level(row.depth) : null);
    attr(toggle, "class", row.children > 0 ? null : "leaf");
    toggle.disabled = row.children === 0;
    text(toggle, row.children > 0 ? (row.isFolded ? "▸" : "▾") : "");
    attr(toggle, "aria-expanded", row.children > 0 ? String(!row.isFolded) : null);
    attr(toggle, "aria-label", row.children > 0 ? `Children of ${row.name}` : null);
    text(label, row.name);
    text(folded, row.isFolded ? count(row.children) : "");
    attr(standing.firstChild.firstChild, "class", actor ? `dot ${tone(actor.state)}` : null);
    text(standing.firstChild.lastChild, actor?.state ?? "");
    text(restarts, actor?.restarts > 0 ? count(actor.restarts) : "");
    attr(restarts, "class", `number-cell ${actor?.restarts > 0 ? "warn" : ""}`);
    const capacity = row.queue ? ` of ${count(row.queue.capacity)}` : "";
    text(depth, Number.isInteger(actor?.queue_depth) ? `${count(actor.queue_depth)}${capacity}` : "");
    text(oldest, actor?.queue_depth ? millis(actor.oldest_ms ?? 0) : "");
    attr(oldest, "class", `number-cell ${actor?.oldest_ms > 1000 ? "warn" : ""}`);
    text(waits, waitsFor(row));
    text(failed, actor?.last_failure ?? "");
  }
}

function waitsFor({ waits, queue }) {
  const calls = waits.slice(0, 3).map((wait) => `${wait.service}/${wait.method}${wait.node ? ` on ${wait.node}` : ""}, ${millis(wait.for_ms)}`);
  if (waits.length > 3) calls.push(`${waits.length - 3} more`);
  if (calls.length === 0 && queue?.held_up) calls.push(`its other calls, to run ${queue.held_up} alone`);
  return calls.join("; ");
}

// The children of an actor, services first. Many of one kind that have none themselves stand below a row of their own.
function gathered(path, below, byPath) {
  const children = below.get(path) ?? [];
  if (!byPath.has(path)) return children;
  const kinds = new Map();
  for (const child of children.filter((child) => !below.has(child))) {
    const kind = `${path}/${child.slice(path.length + 1).split("/")[0]}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), child]);
  }
  const many = [...kinds].filter(([kind, alike]) => alike.length > ALIKE && byPath.get(alike[0]).kind !== "service" && !byPath.has(kind));
  for (const [kind, alike] of many) below.set(kind, alike);
  const taken = new Set(many.flatMap(([, alike]) => alike));
  const order = (child) => (byPath.get(child)?.kind === "service" ? 0 : 1);
  const rows = [...children.filter((child) => !taken.has(child)), ...many.map(([kind]) => kind)];
  return rows.sort((one, other) => order(one) - order(other) || one.localeCompare(other, "en", { numeric: true }));
}

function parentOf(path, byPath) {
  for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) {
    const above = path.slice(0, at);
    if (byPath.has(above)) return above;
  }
  return null;
}
