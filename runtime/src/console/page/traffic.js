// What the nodes measured, as rates: differences between answers of the same node some seconds apart.

import { traffic } from "./ask.js";
import { quantile } from "./latency.js";

// Rates are over the last seconds, so that they are calm and still new.
const WINDOW_US = 5_000_000;
const HISTORY = 120;

// Calls of one kind, added up over however many flows.
export class Load {
  calls = 0;
  failed = 0;
  seconds = 0;
  inFlight = 0;
  buckets = new Map();
  codes = new Map();

  add(now, before, seconds) {
    this.inFlight += now.in_flight;
    this.seconds = Math.max(this.seconds, seconds);
    if (seconds === 0) return;
    this.calls += now.calls - (before?.calls ?? 0);
    for (const [code, times] of Object.entries(now.failed)) {
      const more = times - (before?.failed[code] ?? 0);
      if (more > 0) this.codes.set(code, (this.codes.get(code) ?? 0) + more);
      this.failed += more;
    }
    const old = new Map(before?.latency ?? []);
    for (const [bucket, times] of now.latency) {
      const more = times - (old.get(bucket) ?? 0);
      if (more > 0) this.buckets.set(bucket, (this.buckets.get(bucket) ?? 0) + more);
    }
  }

  // None before there are two answers.
  get rate() {
    return this.seconds > 0 ? this.calls / this.seconds : null;
  }

  get failedShare() {
    if (this.seconds === 0) return null;
    return this.calls > 0 ? Math.max(0, this.failed) / this.calls : 0;
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
  #samples = new Map();
  #histories = new Map();

  // Asks every node. Nobody measures unless somebody asks.
  async refresh(signal) {
    const { nodes, deadlocks } = await traffic(signal);
    this.deadlocks = deadlocks;
    for (const name of this.#samples.keys()) if (!(name in nodes)) this.#samples.delete(name);
    for (const [name, answer] of Object.entries(nodes)) this.#take(name, answer);
    this.#remember();
  }

  forget() {
    this.#samples.clear();
    this.#histories.clear();
  }

  #take(name, answer) {
    let samples = this.#samples.get(name) ?? [];
    // A node that has begun anew counts anew.
    if (samples.at(-1)?.answer.since_us !== answer.since_us) samples = [];
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
      const [first, last] = [samples[0], samples.at(-1)];
      const seconds = (last.clock - first.clock) / 1_000_000;
      for (const [key, flow] of last[side]) {
        const group = keyOf(node, flow);
        if (group === null) continue;
        if (!loads.has(group)) loads.set(group, new Load());
        loads.get(group).add(flow, first[side].get(key), seconds);
      }
      if (seconds > 0) for (const load of loads.values()) load.seconds = Math.max(load.seconds, seconds);
    }
    return loads;
  }

  total() {
    const load = this.group("served", () => "all").get("all") ?? new Load();
    const seconds = [...this.#samples.values()].map((samples) => (samples.at(-1).clock - samples[0].clock) / 1_000_000);
    load.seconds = Math.max(load.seconds, ...seconds, 0);
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

function byKey(flows) {
  return new Map(flows.map((flow) => [[flow.from, flow.node, flow.service, flow.method].join("\n"), flow]));
}

