// A trace as bars over time, one for each span, below the one that it belongs to.

import { attr, fill, h, level, s } from "./dom.js";
import { micros, things } from "./format.js";

const COLOURS = 6;
// Spans that are shown, and how deep. Other nodes wrote them, and may have written anything.
const SPANS_MAX = 4096;
const DEPTH_MAX = 64;

export class Waterfall {
  constructor() {
    this.legend = h("div", { class: "legend" });
    this.note = h("span", { class: "faint", hidden: true });
    this.list = h("div", { class: "fall" });
    this.open = new Set();
  }

  show(spans) {
    const key = JSON.stringify(spans.map((span) => [span.span, span.node, span.duration_us]));
    if (key === this.shown) return;
    this.shown = key;
    const { rows, adjusted, hidden } = arrange(spans);
    const nodes = [...new Set(rows.map((row) => row.span.node))];
    this.colours = new Map(nodes.map((node, at) => [node, `fill-${(at % COLOURS) + 1}`]));
    fill(this.legend, nodes.map((node) => h("span", {}, h("span", { class: `swatch ${this.colours.get(node)}` }), node)));
    const notes = [
      adjusted ? "Clocks of nodes differ: spans were moved into those that they belong to." : "",
      hidden > 0 ? `Not shown: ${things(hidden, "further span")}. They are too many, too deep, or stand twice or in a circle.` : "",
    ];
    this.note.textContent = notes.join(" ").trim();
    this.note.hidden = this.note.textContent === "";
    const end = Math.max(...rows.map((row) => row.at + row.span.duration_us), 1);
    this.list.replaceChildren(...rows.flatMap((row) => this.#row(row, end)));
  }

  #row({ span, at, depth }, end) {
    const detail = h("div", { class: "fall-detail", hidden: true, id: `span-${span.node}-${span.span}` }, facts(span));
    const tone = isBad(span) ? "fill-bad" : this.colours.get(span.node);
    const name = h("span", { class: "fall-name" }, h("span", { class: level(depth) }),
      h("span", { class: `swatch ${this.colours.get(span.node)}` }),
      h("span", { class: "text" }, span.name, " ", h("span", { class: "faint" }, kindOf(span))));
    const toggle = () => {
      detail.hidden = !detail.hidden;
      attr(row, "aria-expanded", String(!detail.hidden));
    };
    const row = h("button", { class: "fall-row", type: "button", "aria-expanded": "false", "aria-controls": detail.id, onclick: toggle },
      name, bar(span, at, end, tone));
    return [row, detail];
  }
}

// A bar, with its duration behind it, or before it, or in it, where there is room.
function bar(span, at, end, tone) {
  const [left, width] = [(at / end) * 100, Math.max((span.duration_us / end) * 100, 0.25)];
  const words = micros(span.duration_us) + (isBad(span) ? ` · ${span.status.replaceAll("_", " ")}` : "");
  const rules = [0, 25, 50, 75, 100].map((x) => s("line", { class: "rule", x1: `${x}%`, x2: `${x}%`, y1: 0, y2: 30 }));
  const percent = (value) => `${value.toFixed(3)}%`;
  let label = { x: percent(left), dx: 7, class: "inside" };
  if (left + width < 70) label = { x: percent(left + width), dx: 7 };
  else if (left > 30) label = { x: percent(left), dx: -7, "text-anchor": "end" };
  return s("svg", { height: 30, role: "img", "aria-label": words }, rules,
    s("rect", { class: `bar-rect ${tone}`, x: percent(Math.min(left, 99.6)), y: 8, height: 14, width: percent(width) }),
    s("text", { ...label, y: 19 }, words));
}

// Spans in the order in which they are read, each with its depth and its begin since the first one. A clock that is off is
// seen where a span of another node lies outside of the one above it: it is then moved into the middle of that. Each id stands
// there once, so that none is below itself.
function arrange(spans) {
  const known = new Map();
  for (const span of spans) if (known.size < SPANS_MAX && !known.has(span.span)) known.set(span.span, span);
  const shown = [...known.values()];
  const below = Map.groupBy(shown, (span) => (known.has(span.parent) ? span.parent : null));
  for (const children of below.values()) children.sort((one, other) => one.unix_us - other.unix_us);
  const rows = [];
  const begin = Math.min(...shown.map((span) => span.unix_us));
  let adjusted = false;
  const walk = (span, depth, shift, above) => {
    if (depth > DEPTH_MAX) return;
    let at = span.unix_us - begin + shift;
    if (above && span.node !== above.node && isOutside(at, span, above)) {
      const moved = above.at + Math.max(0, (above.duration - span.duration_us) / 2);
      shift += moved - at;
      at = moved;
      adjusted = true;
    }
    rows.push({ span, at, depth });
    for (const child of below.get(span.span) ?? []) walk(child, depth + 1, shift, { node: span.node, at, duration: span.duration_us });
  };
  for (const root of below.get(null) ?? []) walk(root, 0, 0, null);
  const least = Math.min(...rows.map((row) => row.at));
  for (const row of rows) row.at -= least;
  return { rows, adjusted, hidden: spans.length - rows.length };
}

function isOutside(at, span, above) {
  return at < above.at || at + span.duration_us > above.at + above.duration;
}

export function isBad(span) {
  return Boolean(span.status) && span.status !== "ok";
}

function kindOf(span) {
  const attempt = span.attributes?.["qmesh.attempt"];
  const kind = attempt === undefined ? span.kind : `attempt ${attempt}`;
  return span.kind === "internal" ? `on ${span.node}` : `${kind} on ${span.node}`;
}

function facts(span) {
  const list = [["node", span.node], ["kind", span.kind], ["status", span.status], ["detail", span.detail], ["span", span.span], ["parent", span.parent],
    ...Object.entries(span.attributes ?? {})].filter(([, value]) => value !== null && value !== undefined && value !== "");
  const shown = (value) => (Array.isArray(value) ? value.join(", ") : String(value));
  return h("dl", { class: "facts" }, list.map(([name, value]) => [h("dt", {}, name), h("dd", {}, shown(value))]));
}
