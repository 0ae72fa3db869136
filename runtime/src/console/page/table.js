// A table that is sorted by any of its columns and changes in place.

import { attr, fill, h, Keyed, text } from "./dom.js";
import { count } from "./format.js";

// Rows at first; the others are shown on request.
const SHOWN = 100;

// A column: { label, value(row) for sorting, cell(row) a text, a node or [text, class], number, wide }.
export class Table {
  constructor(label, columns, { key, open, sort, empty = "Nothing yet.", shown = SHOWN }) {
    Object.assign(this, { columns, open, empty, shown, rows: [], all: false });
    this.sorted = { at: sort?.[0] ?? 0, down: sort?.[1] ?? false };
    this.body = h("tbody");
    this.heads = columns.map((column, at) => this.#head(column, at));
    const table = h("table", { "aria-label": label }, h("thead", {}, h("tr", {}, this.heads)), this.body);
    this.none = h("p", { class: "empty" });
    this.rest = h("button", { class: "quiet", type: "button", onclick: () => this.#showAll() });
    this.more = h("div", { class: "more" }, this.rest);
    this.scroll = h("div", { class: "scroll" }, table);
    this.element = h("div", {}, this.scroll, this.none, this.more);
    this.keyed = new Keyed(this.body, key, (row) => this.#make(row), (tr, row) => this.#update(tr, row));
    this.show([]);
  }

  show(rows, empty = this.empty) {
    this.rows = rows;
    const { at, down } = this.sorted;
    const value = this.columns[at].value ?? this.columns[at].cell;
    const sorted = rows.map((row) => [value(row), row]).sort(([one], [other]) => compare(one, other) * (down ? -1 : 1));
    const shown = this.all ? sorted : sorted.slice(0, this.shown);
    this.keyed.show(shown.map(([, row]) => row));
    this.scroll.hidden = rows.length === 0;
    this.none.hidden = rows.length > 0;
    text(this.none, empty);
    this.more.hidden = shown.length === rows.length;
    text(this.rest, `Show all ${count(rows.length)}`);
    this.heads.forEach((head, index) => {
      attr(head, "aria-sort", index === at ? (down ? "descending" : "ascending") : null);
    });
  }

  #showAll() {
    this.all = true;
    this.show(this.rows);
  }

  #head(column, at) {
    const sort = () => {
      const again = this.sorted.at === at;
      this.sorted = { at, down: again ? !this.sorted.down : Boolean(column.number) };
      this.show(this.rows);
    };
    const button = h("button", { type: "button", onclick: sort }, column.label);
    return h("th", { class: classOf(column), scope: "col" }, column.label ? button : h("span", { class: "hidden" }, column.hint ?? ""));
  }

  #make(row) {
    const cells = this.columns.map((column) => h("td", { class: classOf(column) }));
    const tr = h("tr", {}, cells);
    if (this.open) {
      tr.classList.add("opens");
      tr.addEventListener("click", (event) => {
        if (!event.target.closest("a, button") && !getSelection().toString()) location.hash = this.open(tr.row);
      });
    }
    tr.row = row;
    return tr;
  }

  #update(tr, row) {
    tr.row = row;
    this.columns.forEach((column, at) => {
      const td = tr.childNodes[at];
      const made = column.cell(row, td);
      const [content, tone] = Array.isArray(made) ? made : [made, null];
      if (content instanceof Node) fill(td, content);
      else if (at === 0 && this.open) link(td, content, this.open(row));
      else text(td, content);
      attr(td, "class", [classOf(column), tone].filter(Boolean).join(" ") || null);
    });
  }
}

function link(td, content, href) {
  let a = td.firstChild;
  if (!(a instanceof HTMLAnchorElement)) {
    a = h("a");
    td.replaceChildren(a);
  }
  attr(a, "href", href);
  text(a, content);
}

function classOf(column) {
  return [column.number && "number-cell", column.wide && "wide-only"].filter(Boolean).join(" ") || null;
}

function compare(one, other) {
  if (typeof one === "number" || typeof other === "number") return (one ?? -1) - (other ?? -1);
  return String(one ?? "").localeCompare(String(other ?? ""), "en", { numeric: true });
}
