// The words at the point of the picture that is pointed at, most attended first.

import { make, write } from "./dom.js";
import { shareText } from "./shares.js";

const RANKED = 7;

export class Ranking {
  constructor() {
    this.element = make("ol", { class: "hrv-rank", hidden: true });
    this.rows = Array.from({ length: RANKED }, () => {
      const [name, value] = [make("span"), make("span", { class: "hrv-value" })];
      return { element: this.element.appendChild(make("li", {}, name, value)), name, value };
    });
  }

  /** shares: one for each of `names`, or null to show nothing; x: where the pointer is, 0 to 1: the list keeps to the other
   *  side; hidden: places that are left out. Returns the place of the leading word, or null. */
  show(shares, names, x, hidden) {
    this.element.hidden = !shares;
    if (!shares) return null;
    const order = [...shares.keys()].filter((i) => !hidden.has(i)).sort((a, b) => shares[b] - shares[a]).slice(0, RANKED);
    this.rows.forEach(({ element, name, value }, i) => {
      element.hidden = i >= order.length;
      if (element.hidden) return;
      write(name, names[order[i]]);
      write(value, shareText(shares[order[i]]));
    });
    this.element.classList.toggle("hrv-right", x < 0.5);
    return order[0];
  }
}
