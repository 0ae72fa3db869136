// The page of events: what happened, on all nodes, as it happens.

import { get } from "./ask.js";
import { h, Keyed, text } from "./dom.js";
import { clock, count, things, words } from "./format.js";
import { sentence, severity } from "./sentences.js";

// So many are kept here, and so many are shown.
const KEPT = 2000;
const SHOWN = 300;
const EACH = 200;

export function eventsPage() {
  const all = new Map();
  const after = new Map();
  let missed = 0;
  const filter = h("input", { type: "search", placeholder: "Filter by any word", "aria-label": "Filter events", class: "grow" });
  const node = h("select", { "aria-label": "Node" }, h("option", { value: "" }, "all nodes"));
  const kind = h("select", { "aria-label": "Kind" }, h("option", { value: "" }, "all kinds"));
  const hold = h("button", { type: "button", "aria-pressed": "false" }, "Hold");
  const total = h("span", { class: "muted" });
  const list = new Keyed(h("ol", { class: "events" }), keyOf, line, () => {});
  const none = h("p", { class: "empty" }, "Nothing of this kind has happened.");
  const show = () => {
    const wanted = filter.value.trim().toLowerCase();
    const fits = (event) => (!node.value || event.node === node.value) && (!kind.value || event.event === kind.value)
      && (!wanted || event.words.includes(wanted));
    const shown = [...all.values()].filter(fits).sort(newest);
    list.show(shown.slice(0, SHOWN));
    none.hidden = shown.length > 0;
    const more = missed > 0 ? `, ${count(missed)} were missed` : "";
    text(total, `${things(shown.length, "event")}${shown.length > SHOWN ? `, the newest ${SHOWN} are shown` : ""}${more}`);
  };
  for (const control of [filter, node, kind]) control.addEventListener("input", show);
  hold.addEventListener("click", () => {
    const held = hold.getAttribute("aria-pressed") !== "true";
    hold.setAttribute("aria-pressed", String(held));
    text(hold, held ? "Go on" : "Hold");
    if (!held) show();
  });
  const element = h("div", { class: "page" }, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Events"), total),
    h("div", { class: "controls" }, filter, node, kind, hold)), h("section", { class: "panel", "aria-label": "Events" }, list.parent, none));

  const refresh = async (signal) => {
    const query = { events: { after: 0, after_of: Object.fromEntries(after), max: EACH, wait_ms: 0 } };
    const answers = await get("everywhere", { everywhere: { query } }, signal);
    // What was read stands under the name that the node had in this answer. A number under another one is of who bore that
    // before, and the node would not know it.
    for (const name of [...after.keys()]) if (!Object.hasOwn(answers, name)) after.delete(name);
    for (const [name, { events: told }] of Object.entries(answers)) {
      if (!told) continue;
      missed += told.missed;
      for (const event of told.events) {
        after.set(name, event.seq);
        all.set(keyOf(event), { ...event, words: `${event.node} ${event.event} ${sentence(event)}`.toLowerCase() });
      }
    }
    if (all.size > KEPT) for (const event of [...all.values()].sort(newest).slice(KEPT)) all.delete(keyOf(event));
    choose(node, "all nodes", [...all.values()].map((event) => event.node));
    choose(kind, "all kinds", [...all.values()].map((event) => event.event));
    if (hold.getAttribute("aria-pressed") !== "true") show();
  };
  return { title: "Events", element, refresh };
}

// An event that is told again, as when another node of that name has come, is the same one.
function keyOf(event) {
  return `${event.node} ${event.seq} ${event.unix_ms}`;
}

function newest(one, other) {
  return other.unix_ms - one.unix_ms || other.seq - one.seq;
}

// The options of a choice; what is chosen stays.
function choose(select, every, names) {
  const chosen = select.value;
  const wanted = ["", ...new Set([...names, ...(chosen ? [chosen] : [])])].sort();
  if (wanted.join() === [...select.options].map((option) => option.value).join()) return;
  select.replaceChildren(...wanted.map((name) => h("option", { value: name }, name ? (every === "all kinds" ? words(name) : name) : every)));
  select.value = chosen;
}

function line(event) {
  const left = event.left_out ? h("span", { class: "faint" }, ` (${count(event.left_out)} more left out)`) : null;
  return h("li", {}, h("span", { class: "muted" }, clock(event.unix_ms)),
    h("a", { href: `#/node/${encodeURIComponent(event.node)}` }, event.node),
    h("span", {}, h("span", { class: `chip ${severity(event)}` }, words(event.event))),
    h("span", { class: "what" }, sentence(event), left));
}
