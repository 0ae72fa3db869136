// Questions to the node that serves these pages, and whether it answers.

import { only, withRaw } from "./json.js";

// The node does not answer, or no longer.
export class Gone extends Error {}
// A token is wanted, or another one.
export class Locked extends Error {}
// The node gave no answer to this one.
export class Unanswered extends Error {}

const KEY = "qmesh-token";
const PATIENCE_MS = 15_000;

export function setToken(token) {
  sessionStorage.setItem(KEY, token);
}

// The answer to a query, as [kind, content]. Failures of the call in it are answers, too.
export async function ask(query, signal) {
  const { answer } = await post("/api/ask", JSON.stringify(query), signal);
  return Object.entries(answer)[0];
}

// The answer to a call with arguments that are JSON already: its kind, its content, that as JSON, and the id of its trace.
export async function call(query, given, patienceMs) {
  const body = withRaw({}, "call", withRaw(query, "arguments", given));
  const { answer, json, trace } = await post("/api/ask", body, null, patienceMs);
  const [[kind, content]] = Object.entries(answer);
  return { kind, content, json: only(json, kind), trace };
}

// The traffic of all nodes, by name, why the others tell nothing of theirs, and the deadlocks in it.
export async function traffic(signal) {
  const { answer } = await post("/api/traffic", "{}", signal);
  return answer;
}

async function post(path, body, signal, patienceMs = PATIENCE_MS) {
  const headers = { "Content-Type": "application/json" };
  const token = sessionStorage.getItem(KEY);
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    const limits = [AbortSignal.timeout(patienceMs), ...(signal ? [signal] : [])];
    response = await fetch(path, {
      method: "POST", headers, body, signal: AbortSignal.any(limits),
    });
    if (response.ok) {
      const json = await response.text();
      return { answer: JSON.parse(json), json, trace: response.headers.get("X-Qmesh-Trace") };
    }
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Gone(String(error));
  }
  const why = await response.text();
  if (response.status === 401) throw new Locked(why);
  if (response.status === 503) throw new Gone(why);
  throw new Unanswered(why);
}

// The content of an answer of that kind.
export async function get(kind, query, signal) {
  const [told, content] = await ask(query, signal);
  if (told === kind) return content;
  throw new Unanswered(told === "failed" ? content.detail : String(content));
}

// The answers of all nodes, by name: those that gave one of that kind.
export async function everywhere(kind, query, signal) {
  const answers = Object.entries(await get("everywhere", { everywhere: { query } }, signal));
  return new Map(answers.filter(([, answer]) => kind in answer).map(([node, answer]) => [node, answer[kind]]));
}

// The answer of one node.
export function of(node, kind, query, signal) {
  return get(kind, { of: { node, query } }, signal);
}
