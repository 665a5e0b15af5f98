// A similarity on a scale that shows the threshold, and the rate of false matches in words.

import { make, text } from "../api.js";

const LOWEST = -0.2;

/** Return a scale of a similarity (cosine) with marks at the thresholds, and a sentence below. */
export function scale(similarity, { threshold, review, rate } = {}) {
  const at = (value) => `${Math.max(0, Math.min(100, (100 * (value - LOWEST)) / (1 - LOWEST)))}%`;
  const value = make("div", { class: "value" });
  value.style.width = at(similarity);
  const bar = make("div", { class: "scale", role: "img",
    "aria-label": text("scale.label", { similarity: similarity.toFixed(2), threshold: threshold?.toFixed(2) ?? "–" }) }, value);
  for (const [name, mark] of [["scale.review", review], ["scale.match", threshold]]) {
    if (mark === null || mark === undefined) continue;
    const line = make("div", { class: "mark" }, make("span", {}, `${text(name)} ${mark.toFixed(2)}`));
    line.style.left = at(mark);
    bar.append(line);
  }
  return make("div", {}, bar, make("p", { class: "hint" }, describeRate(rate)));
}

/** Say a false match rate in words: "about one stranger in 40,000". */
export function describeRate(rate) {
  if (rate === null || rate === undefined) return text("scale.no_rate");
  if (rate >= 0.2) return text("scale.often");
  const number = 1 / rate;
  const rounded = Number(number.toPrecision(number < 100 ? 2 : 1));
  return text("scale.rate", { number: new Intl.NumberFormat(document.documentElement.lang).format(rounded) });
}
