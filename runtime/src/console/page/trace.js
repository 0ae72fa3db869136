// The page of one trace: a waterfall over all nodes that kept a part of it.

import { everywhere } from "./ask.js";
import { Figures, h, panel } from "./dom.js";
import { clock, count, micros } from "./format.js";
import { isBad, Waterfall } from "./waterfall.js";

export function tracePage({ argument: id }) {
  const figures = new Figures();
  const fall = new Waterfall();
  const title = h("h1", {}, "Trace");
  const none = h("p", { class: "empty" }, "No node has kept this trace, or it has made room for newer ones.");
  const body = panel("Spans", fall.legend, fall.list, none);
  const element = h("div", { class: "page" },
    h("div", {}, h("p", { class: "crumb" }, h("a", { href: "#/traces" }, "Traces"), " / ", h("span", { class: "mono" }, id)), title),
    figures.element, fall.note, body);

  const refresh = async (signal) => {
    const answers = await everywhere("spans", { trace: { trace: id } }, signal);
    const spans = [...answers.values()].flat();
    none.hidden = spans.length > 0;
    if (spans.length === 0) return;
    const first = spans.reduce((one, other) => (one.unix_us <= other.unix_us ? one : other));
    const named = spans.find((span) => !span.parent) ?? first;
    title.textContent = named.name;
    const failed = spans.filter(isBad).length;
    figures.show([
      ["took", micros(spans.reduce((most, span) => Math.max(most, span.duration_us), 0))],
      ["spans", count(spans.length)],
      ["nodes", count(new Set(spans.map((span) => span.node)).size)],
      ["failed spans", count(failed), "", failed > 0 ? "bad" : null],
      ["began", clock(first.unix_us / 1000)],
    ]);
    fall.show(spans);
  };
  return { title: "Trace", element, refresh };
}
