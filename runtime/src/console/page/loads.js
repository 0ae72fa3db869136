// The columns that tables of calls have in common.

import { attr } from "./dom.js";
import { count, micros, percent, rate } from "./format.js";

export function loadColumns(of, { inFlight = false } = {}) {
  const bad = (load) => (load?.failedShare > 0.001 ? "bad" : null);
  return [
    { label: "Rate", value: (row) => of(row)?.rate, cell: (row) => `${rate(of(row)?.rate)}/s`, number: true },
    { label: "Failed", value: (row) => of(row)?.failedShare, cell: (row, td) => (attr(td, "title", failures(of(row)) || null), [percent(of(row)?.failedShare), bad(of(row))]), number: true },
    { label: "p50", value: (row) => of(row)?.p50, cell: (row) => micros(of(row)?.p50), number: true },
    { label: "p99", value: (row) => of(row)?.p99, cell: (row) => micros(of(row)?.p99), number: true },
    ...(inFlight ? [{ label: "In flight", value: (row) => of(row)?.inFlight, cell: (row) => count(of(row)?.inFlight ?? 0), number: true, wide: true }] : []),
  ];
}

// How calls failed, by their status: `unavailable 12, deadline exceeded 3`.
export function failures(load) {
  const codes = [...(load?.codes ?? [])].sort(([, one], [, other]) => other - one);
  return codes.map(([code, times]) => `${code.toLowerCase().replaceAll("_", " ")} ${count(times)}`).join(", ");
}
