// What happened, as a sentence. A kind that is not known here is told by its fields.

import { words } from "./format.js";

const SENTENCES = {
  started: (e) => `The node has started, with version ${e.version}.`,
  stopping: () => "The node stops.",
  joined: (e) => `${e.peer} joined.`,
  restarted: (e) => `${e.peer} has started anew.`,
  draining: (e) => `${e.peer} drains.`,
  left: (e) => `${e.peer} left.`,
  died: (e) => `${e.peer} fell silent.`,
  suspected: (e) => `${e.peer} is suspected to be dead.`,
  session_up: (e) => `The session with ${e.peer} is up, over ${e.path}.`,
  session_replaced: (e) => `The session with ${e.peer} was replaced: ${e.why}`,
  session_down: (e) => `The session with ${e.peer} is down: ${e.why}`,
  session_cut: (e) => `The oldest replaced session with ${e.peer} was cut, as there were too many.`,
  unreachable: (e) => `${e.peer} cannot be reached: ${e.why}`,
  seed_silent: (e) => `The seed ${e.address} does not answer: ${e.why}`,
  seed_answers: (e) => `The seed ${e.address} answers again.`,
  peer_refused: (e) => `A peer at ${e.address} got no session: ${e.why}`,
  channel_broken: (e) => `A channel of ${e.peer} was closed: ${e.why}`,
  service_warming: (e) => `${e.service} warms up.`,
  service_ready: (e) => `${e.service} takes calls.`,
  service_restarted: (e) => `${e.service} was restarted: ${e.why}`,
  service_stopped: (e) => `${e.service} failed too often and was given up: ${e.why}`,
  actor_restarted: (e) => `${e.actor} was restarted: ${e.why}`,
  actor_stopped: (e) => `${e.actor} failed too often and was given up: ${e.why}`,
  call_refused: (e) => `${e.caller} may not call ${e.service}/${e.method}.`,
  service_overloaded: (e) => `${e.service} refuses calls: ${e.depth} of ${e.capacity} places are taken, and a call waits for ${e.wait_ms} ms.`,
  record_rejected: (e) => `Something that ${e.from} gossips was rejected: ${e.reason}`,
  gossip_restarted: (e) => `Gossip was started anew: ${e.why}`,
  certificate_renewed: () => "The certificate was renewed.",
  certificate_expires: (e) => `The certificate ends in ${e.days} days: issue a new one.`,
  certificate_not_renewed: (e) => `No newer certificate is to be had: ${e.why}`,
};
const BAD = new Set(["died", "service_stopped", "actor_stopped", "certificate_expires"]);
const ODD = new Set([
  "suspected", "session_cut", "unreachable", "seed_silent", "peer_refused", "channel_broken", "service_restarted", "actor_restarted",
  "call_refused", "service_overloaded", "record_rejected", "gossip_restarted", "certificate_not_renewed", "session_down",
]);
const GOOD = new Set(["joined", "service_ready", "session_up", "started", "seed_answers"]);

export function sentence(event) {
  if (Object.hasOwn(SENTENCES, event.event)) return SENTENCES[event.event](event);
  const { seq, unix_ms, node, left_out, event: kind, words: searched, ...fields } = event;
  const told = Object.entries(fields).map(([name, value]) => `${words(name)} ${value}`);
  return told.join(", ") || words(kind);
}

export function severity({ event }) {
  if (BAD.has(event)) return "bad";
  if (ODD.has(event)) return "warn";
  return GOOD.has(event) ? "good" : "";
}
