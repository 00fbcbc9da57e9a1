// Shares of attention as text.

/** A share as an artist reads it: 0.0312 is "3.1 %". */
export function shareText(value) {
  const p = 100 * value;
  return p >= 9.95 ? `${p.toFixed(0)} %` : p >= 0.995 ? `${p.toFixed(1)} %` : `${p.toPrecision(1)} %`;
}
