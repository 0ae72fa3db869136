// The frame of all pages: which one is open, when it asks again, and what is said when nobody answers.

import { ask, Gone, Locked, setToken } from "./ask.js";
import { actorsPage } from "./actors.js";
import { parts, takeToken } from "./address.js";
import { attr, fill, h, text } from "./dom.js";
import { eventsPage } from "./events.js";
import { things } from "./format.js";
import { meshPage } from "./mesh.js";
import { nodePage } from "./node.js";
import { servicePage } from "./service.js";
import { servicesPage } from "./services.js";
import { tracePage } from "./trace.js";
import { tracesPage } from "./traces.js";
import { Traffic } from "./traffic.js";

const PAUSE_MS = 1000;
// So many of the nodes that are not in the numbers are named.
const NAMED = 5;
const PAGES = [
  ["mesh", "Mesh"], ["services", "Services"], ["actors", "Actors"], ["traces", "Traces"], ["events", "Events"],
];
const ROUTES = {
  mesh: meshPage, node: nodePage, services: servicesPage, service: servicePage, actors: actorsPage, traces: tracesPage,
  trace: tracePage, events: eventsPage,
};
const ABOVE = { node: "mesh", service: "services", trace: "traces" };

const traffic = new Traffic();
const [nav, status, theme, notices, main] = ["nav", "status", "theme", "notices", "main"].map((id) => document.getElementById(id));
let page = null;
let timer = null;
let lost = null;
let node = null;

// --- which page is open ---

function open() {
  const token = takeToken();
  if (token) setToken(token);
  const [name, ...rest] = parts();
  const route = Object.hasOwn(ROUTES, name) ? name : "mesh";
  page?.controller.abort();
  const controller = new AbortController();
  const made = ROUTES[route]({ traffic, argument: rest.join("/"), signal: controller.signal, refresh: now });
  const first = page === null;
  page = { ...made, controller };
  fill(main, made.element);
  document.title = `${made.title} · qmesh`;
  const current = ABOVE[route] ?? route;
  for (const a of nav.children) attr(a, "aria-current", a.hash === `#/${current}` ? "page" : null);
  if (!first) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  now();
}

// --- when it asks again ---

function now() {
  clearTimeout(timer);
  if (!document.hidden) tick(page);
}

// Asks what the page needs, and again after a second, or later where an answer takes long. A hidden page asks nothing.
async function tick(asking) {
  const began = performance.now();
  // Of a page that asks for no traffic, no numbers are missing.
  traffic.silent = new Map();
  try {
    await asking.refresh(asking.controller.signal);
    if (lost) await found();
    answered();
  } catch (error) {
    if (asking !== page || asking.controller.signal.aborted) return;
    failed(error);
  }
  if (asking !== page || document.hidden) return;
  const took = performance.now() - began;
  clearTimeout(timer);
  timer = setTimeout(() => tick(asking), Math.max(PAUSE_MS - took, took));
}

// --- what is said ---

function answered() {
  if (traffic.silent.size > 0) notice("warn", ...missing(traffic.silent));
  else notices.replaceChildren();
  say("good", node ? `live from ${node}` : "live");
  if (!node) learnName();
}

// Who is not in the numbers, and why.
function missing(silent) {
  const why = [...silent].slice(0, NAMED).map(([name, words]) => `${name}: ${words}`).join("; ");
  const more = silent.size > NAMED ? `; and ${silent.size - NAMED} more` : "";
  return [`${things(silent.size, "node")} ${silent.size === 1 ? "is" : "are"} not in these numbers.`, why + more];
}

async function learnName() {
  try {
    const [kind, about] = await ask("about");
    if (kind === "about") node = about.node;
  } catch {
    // The next answer asks again.
  }
}

// The node answers again: it may be another one, which counts anew.
async function found() {
  lost = null;
  node = null;
  traffic.forget();
}

function failed(error) {
  if (error instanceof Locked) return unlock(error.message);
  if (error instanceof Gone) {
    lost ??= Date.now();
    say("bad", "no answer");
    const who = node ? `The node ${node}, which serves this console, does not answer.` : "The node that serves this console does not answer.";
    notice("bad", who, "Shown is what it said last. Trying again every second.");
    return;
  }
  say("warn", "in trouble");
  notice("warn", "This could not be asked.", error.message);
}

function notice(tone, strong, more) {
  const [shown] = notices.children;
  if (shown?.dataset.said === strong + more) return;
  const element = h("div", { class: `notice ${tone}` }, h("strong", {}, strong), h("span", {}, more));
  element.dataset.said = strong + more;
  fill(notices, element);
}

function say(tone, words) {
  if (status.dataset.said === tone + words) return;
  status.dataset.said = tone + words;
  status.replaceChildren(h("span", { class: `dot ${tone}` }), words);
}

function unlock(why) {
  say("warn", "locked");
  if (document.getElementById("token")) return;
  const input = h("input", { id: "token", type: "password", autocomplete: "off", required: true, class: "grow" });
  const submit = (event) => {
    event.preventDefault();
    setToken(input.value);
    notices.replaceChildren();
    now();
  };
  const form = h("form", { class: "controls", onsubmit: submit },
    h("label", { for: "token" }, "Token"), input, h("button", { class: "primary", type: "submit" }, "Open"));
  fill(notices, h("div", { class: "notice warn" }, h("strong", {}, "This console is locked."), h("span", {}, why), form));
  input.focus();
}

// --- light and dark ---

const THEMES = { auto: ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };

function dress(name) {
  const [sign, words] = THEMES[name];
  attr(document.documentElement, "data-theme", name === "auto" ? null : name);
  text(theme, sign);
  attr(theme, "aria-label", `Colours: ${words}. Change`);
  attr(theme, "title", `Colours: ${words}`);
  theme.dataset.name = name;
}

theme.addEventListener("click", () => {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(theme.dataset.name) + 1) % names.length];
  localStorage.setItem("qmesh-theme", next);
  dress(next);
});

const kept = localStorage.getItem("qmesh-theme");
dress(Object.hasOwn(THEMES, kept) ? kept : "auto");
for (const [name, title] of PAGES) nav.append(h("a", { href: `#/${name}` }, title));
addEventListener("hashchange", open);
document.addEventListener("visibilitychange", now);
open();
