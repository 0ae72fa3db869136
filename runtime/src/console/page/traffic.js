// What the nodes measured, as rates: differences between answers of the same node some seconds apart.

import { traffic } from "./ask.js";
import { quantile } from "./latency.js";

// Rates are over the last seconds, so that they are calm and still new.
const WINDOW_US = 5_000_000;
const HISTORY = 120;
// So many answers in a row may be missing of a node before it is in no number any more.
const MISSED_MAX = 3;

// Calls of one kind, added up over however many flows.
export class Load {
  // Calls per second, of which so many failed: the sum over flows, as each node measured for a time of its own. There is none
  // before a node has answered twice.
  rate = null;
  failedRate = 0;
  inFlight = 0;
  buckets = new Map();
  codes = new Map();

  add(now, before, seconds) {
    this.inFlight += now.in_flight;
    if (seconds === 0) return;
    this.rate = (this.rate ?? 0) + (now.calls - (before?.calls ?? 0)) / seconds;
    for (const [code, times] of Object.entries(now.failed)) {
      const more = times - (before?.failed[code] ?? 0);
      if (more <= 0) continue;
      this.codes.set(code, (this.codes.get(code) ?? 0) + more);
      this.failedRate += more / seconds;
    }
    const old = new Map(before?.latency ?? []);
    for (const [bucket, times] of now.latency) {
      const more = times - (old.get(bucket) ?? 0);
      if (more > 0) this.buckets.set(bucket, (this.buckets.get(bucket) ?? 0) + more);
    }
  }

  get failedShare() {
    if (this.rate === null) return null;
    return this.rate > 0 ? this.failedRate / this.rate : 0;
  }

  get p50() {
    return quantile(this.buckets, 0.5);
  }

  get p99() {
    return quantile(this.buckets, 0.99);
  }
}

// All that the pages know of the traffic of the mesh.
export class Traffic {
  // Handlers that wait for each other, in circles of [node, wait].
  deadlocks = [];
  // The nodes that are in no number, and why.
  silent = new Map();
  #samples = new Map();
  #missed = new Map();
  #histories = new Map();

  // Asks every node. Nobody measures unless somebody asks.
  async refresh(signal) {
    const { nodes, silent, deadlocks } = await traffic(signal);
    this.deadlocks = deadlocks;
    for (const name of [...this.#samples.keys()]) if (!Object.hasOwn(nodes, name)) this.#miss(name, Object.hasOwn(silent, name));
    for (const [name, answer] of Object.entries(nodes)) this.#take(name, answer);
    this.silent = new Map(Object.entries(silent).filter(([name]) => !this.#samples.has(name)));
    this.#remember();
  }

  forget() {
    this.#samples.clear();
    this.#missed.clear();
    this.#histories.clear();
  }

  // A node that is late keeps its rates for a while; one that is in the mesh no more has none.
  #miss(name, isThere) {
    const missed = (this.#missed.get(name) ?? 0) + 1;
    if (isThere && missed <= MISSED_MAX) {
      this.#missed.set(name, missed);
      return;
    }
    this.#missed.delete(name);
    this.#samples.delete(name);
  }

  #take(name, answer) {
    this.#missed.delete(name);
    let samples = this.#samples.get(name) ?? [];
    const newest = samples.at(-1);
    // A node that has begun anew counts anew.
    if (newest && (newest.answer.since_us !== answer.since_us || newest.clock >= answer.clock_us)) samples = [];
    samples.push({ clock: answer.clock_us, answer, flows: byKey(answer.flows), served: byKey(answer.served) });
    while (samples.length > 2 && samples[1].clock <= answer.clock_us - WINDOW_US) samples.shift();
    this.#samples.set(name, samples);
  }

  #remember() {
    const rates = new Map([["", this.total().rate ?? 0]]);
    for (const [service, load] of this.group("served", (_, flow) => flow.service)) rates.set(service, load.rate ?? 0);
    for (const key of this.#histories.keys()) if (!rates.has(key)) rates.set(key, 0);
    for (const [key, rate] of rates) {
      const history = this.#histories.get(key) ?? [];
      history.push(rate);
      if (history.length > HISTORY) history.shift();
      this.#histories.set(key, history);
    }
  }

  // The rates of the last minutes of a service, or of everything.
  history(service = "") {
    return this.#histories.get(service) ?? [];
  }

  get nodes() {
    return [...this.#samples.keys()];
  }

  // The newest answer of a node.
  of(node) {
    return this.#samples.get(node)?.at(-1)?.answer ?? null;
  }

  // Loads by a key of (node, flow), of one side: what nodes call (`flows`), or what they serve (`served`). A key that is null
  // leaves the flow out.
  group(side, keyOf) {
    const loads = new Map();
    for (const [node, samples] of this.#samples) {
      const [first, last, seconds] = [samples[0], samples.at(-1), time(samples)];
      for (const [key, flow] of last[side]) {
        const group = keyOf(node, flow);
        if (group === null) continue;
        if (!loads.has(group)) loads.set(group, new Load());
        loads.get(group).add(flow, first[side].get(key), seconds);
      }
    }
    return loads;
  }

  total() {
    const load = this.group("served", () => "all").get("all") ?? new Load();
    // Where nodes have answered twice and nobody calls, that is known, too.
    if ([...this.#samples.values()].some((samples) => time(samples) > 0)) load.rate ??= 0;
    return load;
  }

  // Every queue of a service, with its node.
  queues(service = null) {
    const all = this.nodes.flatMap((node) => this.of(node).services.map((queue) => ({ node, ...queue })));
    return service === null ? all : all.filter((queue) => queue.service === service);
  }

  // Every session once, as the two nodes have it.
  sessions() {
    const pairs = new Map();
    for (const node of this.nodes) {
      for (const session of this.of(node).sessions) {
        const key = [node, session.peer].sort().join("\n");
        const known = pairs.get(key);
        if (!known || session.round_trip_us < known.round_trip_us) pairs.set(key, { node, ...session });
      }
    }
    return [...pairs.values()];
  }

  // Calls of handlers that are under way.
  waiting() {
    return this.nodes.flatMap((node) => this.of(node).waiting.map((wait) => ({ at: node, ...wait })));
  }
}

// The seconds that the rates of a node are over.
function time(samples) {
  return (samples.at(-1).clock - samples[0].clock) / 1_000_000;
}

function byKey(flows) {
  return new Map(flows.map((flow) => [[flow.from, flow.node, flow.service, flow.method].join("\n"), flow]));
}

