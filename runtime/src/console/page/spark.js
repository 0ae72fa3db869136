// A small line: how something went in the last two minutes.

import { attr, s } from "./dom.js";

const POINTS = 120;

export class Spark {
  constructor(width = 96, height = 22) {
    Object.assign(this, { width, height });
    this.under = s("path", { class: "under" });
    this.line = s("path");
    this.element = s("svg", {
      class: "spark", width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true", preserveAspectRatio: "none",
    }, this.under, this.line);
  }

  show(values) {
    const top = Math.max(...values, 1e-9);
    const x = (at) => ((POINTS - values.length + at) / (POINTS - 1)) * this.width;
    const y = (value) => this.height - 1 - (value / top) * (this.height - 2);
    const points = values.map((value, at) => `${x(at).toFixed(1)} ${y(value).toFixed(1)}`);
    attr(this.line, "d", points.length > 1 ? `M${points.join("L")}` : "");
    const [left, right] = [x(0).toFixed(1), x(values.length - 1).toFixed(1)];
    attr(this.under, "d", points.length > 1 ? `M${left} ${this.height}L${points.join("L")}L${right} ${this.height}Z` : "");
  }
}
