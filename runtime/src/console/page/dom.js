// Elements: how they are made, and how they are changed without touching what stays the same.

const SVG = "http://www.w3.org/2000/svg";

// An element with properties (`class`, attributes, `on…` listeners) and children (nodes, texts, lists; null is left out).
export function h(tag, props = {}, ...children) {
  return build(document.createElement(tag), props, children);
}

// The same for SVG.
export function s(tag, props = {}, ...children) {
  return build(document.createElementNS(SVG, tag), props, children);
}

function build(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && typeof value !== "string" && !(node instanceof SVGElement)) node[name] = value;
    else attr(node, name, value);
  }
  node.append(...children.flat(2).filter((child) => child !== null && child !== undefined));
  return node;
}

// Sets an attribute, or takes it away where the value is null or false.
export function attr(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value);
  }
}

export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

// Replaces the children of a node, unless they are the same nodes already.
export function fill(node, ...children) {
  const wanted = children.flat(2).filter((child) => child !== null && child !== undefined);
  const same = wanted.length === node.childNodes.length && wanted.every((child, at) => child === node.childNodes[at]);
  if (!same) node.replaceChildren(...wanted);
}

// Makes the children of a node those of a list: each item keeps its element for as long as it is in the list.
export class Keyed {
  constructor(parent, keyOf, make, update) {
    Object.assign(this, { parent, keyOf, make, update, elements: new Map() });
  }

  show(items) {
    const left = new Map(this.elements);
    let at = this.parent.firstChild;
    for (const item of items) {
      const key = this.keyOf(item);
      let element = this.elements.get(key);
      if (!element) {
        element = this.make(item);
        this.elements.set(key, element);
      }
      left.delete(key);
      this.update(element, item);
      if (element === at) at = at.nextSibling;
      else this.parent.insertBefore(element, at);
    }
    for (const [key, element] of left) {
      element.remove();
      this.elements.delete(key);
    }
  }
}

// A titled box. `aside` stands at the right of its title.
export function panel(title, aside, ...body) {
  const head = h("div", { class: "panel-head" }, h("h2", {}, title), aside ?? null);
  return h("section", { class: "panel", "aria-label": title }, head, body);
}

// How far in a row stands that is so deep; style.css has no further steps.
export function level(depth) {
  return `indent level-${Math.min(depth, 8)}`;
}

export function state(word, tone) {
  return h("span", { class: "state" }, h("span", { class: `dot ${tone}` }), word);
}

// Large figures in a row: `show` takes [label, value, unit, tone] for each.
export class Figures {
  constructor(...more) {
    this.list = h("div", { class: "figures" });
    this.element = h("div", { class: "figures" }, this.list, more);
    this.keyed = new Keyed(this.list, ([label]) => label, ([label]) => this.figure(label), this.change);
  }

  show(figures) {
    this.keyed.show(figures);
  }

  figure(label) {
    const value = h("div", { class: "value" }, h("span"), h("small"));
    return h("div", { class: "figure" }, value, h("div", { class: "label" }, label));
  }

  change(element, [, value, unit, tone]) {
    const [number, small] = element.firstChild.childNodes;
    text(number, value);
    text(small, unit ?? "");
    attr(number, "class", tone ?? null);
  }
}

// Names and values, side by side.
export class Facts {
  constructor() {
    this.element = h("dl", { class: "facts" });
  }

  show(facts) {
    const known = facts.filter(([, value]) => value !== null && value !== undefined && value !== "");
    const key = JSON.stringify(known);
    if (key === this.shown) return;
    this.shown = key;
    this.element.replaceChildren(...known.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))]));
  }
}
