// Numbers, times and states as people read them.

const NONE = "–";

export function count(value) {
  return value.toLocaleString("en-US");
}

// Calls per second.
export function rate(value) {
  if (value === null || value === undefined) return NONE;
  if (value === 0) return "0";
  if (value < 0.1) return "<0.1";
  if (value < 10) return value.toFixed(1);
  if (value < 10_000) return count(Math.round(value));
  return `${(value / 1000).toFixed(value < 100_000 ? 1 : 0)}k`;
}

// A share of something, such as of calls that failed.
export function percent(share) {
  if (share === null || share === undefined) return NONE;
  if (share === 0) return "0 %";
  const value = share * 100;
  if (value < 0.1) return "<0.1 %";
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

// A duration in microseconds.
export function micros(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  if (value < 1000) return `${Math.round(value)} µs`;
  if (value < 10_000) return `${(value / 1000).toFixed(1)} ms`;
  if (value < 1_000_000) return `${Math.round(value / 1000)} ms`;
  return millis(value / 1000);
}

// A duration in milliseconds.
export function millis(value) {
  if (value === null || value === undefined) return NONE;
  if (value < 1000) return `${Math.round(value)} ms`;
  const secs = value / 1000;
  if (secs < 10) return `${secs.toFixed(1)} s`;
  if (secs < 60) return `${Math.round(secs)} s`;
  const steps = [[86_400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]];
  const [large, name, small, less] = steps.find(([size]) => secs >= size);
  const rest = Math.floor((secs % large) / small);
  return `${Math.floor(secs / large)} ${name}${rest ? ` ${rest} ${less}` : ""}`;
}

export function clock(unixMs) {
  const date = new Date(unixMs);
  const two = (value) => String(value).padStart(2, "0");
  const ms = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${ms}`;
}

export function day(unixSecs) {
  return new Date(unixSecs * 1000).toISOString().slice(0, 10);
}

export function things(number, name) {
  return `${count(number)} ${name}${number === 1 ? "" : "s"}`;
}

// The first of some names, and how many more there are.
export function few(names, most = 4) {
  if (names.length === 0) return "none";
  if (names.length <= most) return names.join(", ");
  return `${names.slice(0, most - 1).join(", ")} and ${names.length - most + 1} more`;
}

// The colour of a node's or an actor's state.
export function tone(state) {
  const tones = {
    ready: "good", running: "good", starting: "info", warming: "info", draining: "warn", restarting: "warn", waiting: "warn",
    gone: "bad", stopped: "faint", failed: "bad",
  };
  return tones[state] ?? "faint";
}

// A word of the mesh's own, as a person writes it: `session_down`, `NotExecuted`.
export function words(name) {
  return name.replaceAll("_", " ").replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
}
