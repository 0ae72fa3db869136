// The graph of the mesh: nodes on a ring, calls as arrows between them, sessions as dotted lines.

import { attr, h, Keyed, s, text } from "./dom.js";
import { micros, percent, rate, tone } from "./format.js";
import { CARD, layout } from "./layout.js";

// Beyond so many, arrows have no words, and are faint and have no tips; and sessions are not drawn.
const MARKS = 14;
const DENSE = 80;
const SESSIONS = 40;

export class Graph {
  near = null;

  constructor() {
    this.sessions = new Keyed(s("g"), (session) => session.key, () => this.#session(), (group, session) => this.#moveSession(group, session));
    this.calls = new Keyed(s("g"), (call) => call.key, (call) => this.#call(call), (group, call) => this.#moveCall(group, call));
    this.nodes = new Keyed(s("g"), (node) => node.key, (node) => this.#node(node), (a, node) => this.#moveNode(a, node));
    this.marks = new Keyed(s("g"), (call) => call.key, () => s("text", { class: "mark" }), (mark, call) => this.#moveMark(mark, call));
    const groups = [this.sessions, this.calls, this.marks, this.nodes].map((keyed) => keyed.parent);
    this.svg = s("svg", { class: "graph", role: "group", "aria-label": "Nodes, and the calls between them" }, groups);
    this.element = h("div", {}, this.svg);
    new ResizeObserver(() => this.last && this.show(...this.last)).observe(this.element);
  }

  // Nodes { name, state, services, rate }; calls { from, to, load }; sessions { node, peer, path, round_trip_us }.
  show(nodes, calls, sessions) {
    this.last = [nodes, calls, sessions];
    const names = nodes.map((node) => node.name);
    const place = layout(names, this.element.clientWidth || 900);
    this.place = place;
    attr(this.svg, "viewBox", `0 0 ${place.width} ${Math.round(place.height)}`);
    const drawn = calls.filter((call) => call.from !== call.to && place.places.has(call.from) && place.places.has(call.to));
    const top = Math.max(...drawn.map((call) => call.load.rate ?? 0), 1);
    const both = new Set(drawn.map((call) => `${call.to}\n${call.from}`));
    const arrows = drawn.map((call) => {
      const key = `${call.from}\n${call.to}`;
      return { ...call, key, top, curve: this.#curve(call, both.has(key)) };
    });
    this.dense = arrows.length > DENSE;
    this.svg.classList.toggle("is-dense", this.dense);
    this.calls.show(arrows);
    const near = arrows.filter((call) => this.#isNear(call.from, call.to));
    this.marks.show(arrows.length <= MARKS && place.cards ? arrows : near.slice(0, MARKS));
    const lines = sessions.length <= SESSIONS ? sessions : sessions.filter(({ node, peer }) => this.near === node || this.near === peer);
    const known = lines.filter(({ node, peer }) => place.places.has(node) && place.places.has(peer));
    // What a single arrow says stands near its source, so what its session says near the other end.
    const single = new Set(arrows.filter(({ key }) => !both.has(key)).map(({ key }) => key));
    this.sessions.show(known.map((session) => {
      const { node, peer } = session;
      const at = single.has(`${node}\n${peer}`) ? 0.7 : single.has(`${peer}\n${node}`) ? 0.3 : 0.5;
      return { ...session, key: [node, peer].sort().join("\n"), at };
    }));
    const kind = place.cards ? "card" : "dot";
    this.nodes.show(nodes.map((node) => ({ ...node, key: `${kind} ${node.name}` })));
  }

  // --- nodes ---

  #node(node) {
    const look = () => this.#look(node.name);
    const away = () => this.#look(null);
    const shape = this.place.cards
      ? [s("rect", { x: -CARD.width / 2, y: -CARD.height / 2, width: CARD.width, height: CARD.height, rx: 9 }),
        s("circle", { class: "node-dot", cx: -CARD.width / 2 + 16, cy: -13, r: 5 }),
        s("text", { class: "name", x: -CARD.width / 2 + 27, y: -8.5 }),
        s("text", { class: "small", x: -CARD.width / 2 + 12, y: 9 }),
        s("text", { class: "small", x: -CARD.width / 2 + 12, y: 23 })]
      : [s("circle", { class: "node-dot", r: 6 }), s("text", { class: "tick" })];
    return s("a", {
      href: `#/node/${encodeURIComponent(node.name)}`, onpointerenter: look, onpointerleave: away, onfocus: look, onblur: away,
    }, s("title"), shape);
  }

  #moveNode(a, node) {
    const { x, y, angle } = this.place.places.get(node.name);
    attr(a, "transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
    attr(a, "class", `is-${tone(node.state)} ${this.place.cards ? "card" : ""}`);
    const does = `${node.name}, ${node.state}, serves ${rate(node.rate)} calls per second`;
    attr(a, "aria-label", does);
    text(a.querySelector("title"), does);
    if (this.place.cards) {
      const [name, services, serves] = a.querySelectorAll("text");
      text(name, short(node.name, 18));
      text(services, short(node.services.join(", ") || "no services", 23));
      text(serves, node.state === "gone" ? "gone" : `serves ${rate(node.rate)}/s`);
      return;
    }
    this.#labelDot(a, node, angle);
  }

  // Along the radius, or upright where there are few.
  #labelDot(a, node, angle) {
    const label = a.querySelector("text");
    text(label, this.place.named || this.near === node.name ? short(node.name, 18) : "");
    if (!this.place.named) {
      const { width, middle } = this.place;
      const { x, y } = this.place.places.get(node.name);
      attr(label, "text-anchor", x > width * 0.75 ? "end" : x < width * 0.25 ? "start" : "middle");
      attr(label, "transform", `translate(0 ${y < middle.y ? 18 : -10})`);
      return;
    }
    const degrees = (angle * 180) / Math.PI;
    const left = Math.cos(angle) < -1e-6;
    attr(a.querySelector("circle"), "r", this.place.dot.toFixed(1));
    if (this.place.upright) {
      const middle = Math.abs(Math.cos(angle)) < 0.3;
      attr(label, "text-anchor", middle ? "middle" : left ? "end" : "start");
      attr(label, "transform", `translate(${middle ? 0 : left ? -11 : 11} ${middle ? (Math.sin(angle) < 0 ? -12 : 20) : 4})`);
      return;
    }
    attr(label, "text-anchor", left ? "end" : "start");
    attr(label, "transform", `rotate(${(left ? degrees + 180 : degrees).toFixed(2)}) translate(${left ? -12 : 12} 4)`);
  }

  // Brings out what a node has to do with.
  #look(name) {
    this.near = name;
    this.svg.classList.toggle("is-looking", name !== null);
    this.show(...this.last);
  }

  #isNear(one, other) {
    return this.near !== null && (this.near === one || this.near === other);
  }

  // --- calls ---

  #call() {
    return s("g", {}, s("title"), s("path", { class: "call" }), s("path", { class: "tip" }));
  }

  #moveCall(group, { from, to, load, top, curve }) {
    const [title, line, tip] = group.children;
    const kind = load.failedShare > 0.001 ? "failing" : (load.rate ?? 0) > 0 ? "" : "still";
    const width = (this.dense ? 0.8 : 1.2) + 2.6 * Math.sqrt((load.rate ?? 0) / top);
    attr(line, "d", curve.path);
    attr(line, "stroke-width", width.toFixed(2));
    const near = this.#isNear(from, to) ? "near" : "";
    for (const [part, name] of [[line, "call"], [tip, "tip"]]) attr(part, "class", `${name} ${kind} ${near}`);
    const size = 4.5 + width;
    attr(tip, "d", this.dense && !near ? "" : `M0 0L${-size * 1.5} ${-size * 0.62}L${-size * 1.5} ${size * 0.62}Z`);
    attr(tip, "transform", `translate(${curve.end.x.toFixed(1)} ${curve.end.y.toFixed(1)}) rotate(${curve.angle.toFixed(1)})`);
    text(title, `${from} → ${to}: ${words(load)}`);
  }

  #moveMark(mark, { from, to, load, curve }) {
    attr(mark, "class", `mark ${this.#isNear(from, to) ? "near" : ""}`);
    attr(mark, "x", curve.mark.x.toFixed(1));
    attr(mark, "y", (curve.mark.y + 4).toFixed(1));
    const usual = `${rate(load.rate)}/s${load.p50 === null ? "" : ` · ${micros(load.p50)}`}`;
    const failing = load.failedShare > 0.001 ? ` · ${percent(load.failedShare)}` : "";
    if (mark.childNodes.length !== 2) mark.replaceChildren(s("tspan"), s("tspan", { class: "bad" }));
    text(mark.firstChild, usual);
    text(mark.lastChild, failing);
  }

  // An arrow from edge to edge. Two that go both ways bend apart; on a ring of many, all bend towards the middle.
  #curve({ from, to }, paired) {
    const { places, cards, middle } = this.place;
    const [one, other] = [places.get(from), places.get(to)];
    const [dx, dy] = [other.x - one.x, other.y - one.y];
    const length = Math.hypot(dx, dy) || 1;
    const bend = cards ? (paired ? 34 : 14) : 0;
    let control = { x: (one.x + other.x) / 2 - (dy / length) * bend, y: (one.y + other.y) / 2 + (dx / length) * bend };
    if (!cards) control = { x: control.x + (middle.x - control.x) * 0.55 - (dy / length) * 6, y: control.y + (middle.y - control.y) * 0.55 + (dx / length) * 6 };
    const start = leave(one, control, cards);
    const end = leave(other, control, cards);
    const angle = (Math.atan2(end.y - control.y, end.x - control.x) * 180) / Math.PI;
    const at = paired ? 0.36 : 0.42;
    const mix = (key) => (1 - at) ** 2 * start[key] + 2 * at * (1 - at) * control[key] + at ** 2 * end[key];
    const point = ({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`;
    return { path: `M${point(start)}Q${point(control)} ${point(end)}`, end, angle, mark: { x: mix("x"), y: mix("y") } };
  }

  // --- sessions ---

  #session() {
    return s("g", {}, s("title"), s("line", { class: "session" }), s("text", { class: "mark faint" }));
  }

  #moveSession(group, { node, peer, path, round_trip_us: us, at }) {
    const [title, line, mark] = group.children;
    const [one, other] = [this.place.places.get(node), this.place.places.get(peer)];
    for (const [name, value] of [["x1", one.x], ["y1", one.y], ["x2", other.x], ["y2", other.y]]) attr(line, name, value.toFixed(1));
    attr(mark, "x", (one.x + (other.x - one.x) * at).toFixed(1));
    attr(mark, "y", (one.y + (other.y - one.y) * at + 3).toFixed(1));
    const says = `${path} ${micros(us)}`;
    const near = this.#isNear(node, peer);
    attr(mark, "class", `mark faint ${near ? "near" : ""}`);
    text(mark, this.place.cards && (near || this.place.places.size <= 4) ? says : "");
    text(title, `session of ${node} and ${peer}: ${says}`);
  }
}

// Where a line towards `control` leaves the shape of a node.
function leave(at, control, cards) {
  const [dx, dy] = [control.x - at.x, control.y - at.y];
  const length = Math.hypot(dx, dy) || 1;
  if (!cards) return { x: at.x + (dx / length) * 9, y: at.y + (dy / length) * 9 };
  const [half, tall] = [CARD.width / 2 + 5, CARD.height / 2 + 5];
  const scale = Math.min(half / Math.abs(dx || 1e-9), tall / Math.abs(dy || 1e-9), 1);
  return { x: at.x + dx * scale, y: at.y + dy * scale };
}

function words(load) {
  return `${rate(load.rate)} calls/s, ${percent(load.failedShare)} failed, p50 ${micros(load.p50)}, p99 ${micros(load.p99)}`;
}

function short(value, length) {
  return value.length > length ? `${value.slice(0, length - 1)}…` : value;
}
