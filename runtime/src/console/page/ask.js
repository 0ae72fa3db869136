// Questions to the node that serves these pages, and whether it answers.

// The node does not answer, or no longer.
export class Gone extends Error {}
// A token is wanted, or another one.
export class Locked extends Error {}
// The node gave no answer to this one.
export class Unanswered extends Error {}

const KEY = "qmesh-token";
const PATIENCE_MS = 15_000;

// The token comes behind the `#` of the address, which no server sees, and does not stay there.
export function takeToken() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (!found) return;
  sessionStorage.setItem(KEY, decodeURIComponent(found[1]));
  history.replaceState(null, "", "#/mesh");
}

export function setToken(token) {
  sessionStorage.setItem(KEY, token);
}

// The answer to a query, as [kind, content]. Failures of the call in it are answers, too.
export async function ask(query, signal) {
  const { answer } = await post("/api/ask", query, signal);
  return Object.entries(answer)[0];
}

// The answer to a call, as [kind, content], and the id of its trace.
export async function call(query, patienceMs) {
  const { answer, trace } = await post("/api/ask", { call: query }, null, patienceMs);
  return [...Object.entries(answer)[0], trace];
}

// The traffic of all nodes, by name, and the deadlocks in it.
export async function traffic(signal) {
  const { answer } = await post("/api/traffic", {}, signal);
  return answer;
}

async function post(path, query, signal, patienceMs = PATIENCE_MS) {
  const headers = { "Content-Type": "application/json" };
  const token = sessionStorage.getItem(KEY);
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    const limits = [AbortSignal.timeout(patienceMs), ...(signal ? [signal] : [])];
    response = await fetch(path, {
      method: "POST", headers, body: JSON.stringify(query), signal: AbortSignal.any(limits),
    });
    if (response.ok) return { answer: await response.json(), trace: response.headers.get("X-Qmesh-Trace") };
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
