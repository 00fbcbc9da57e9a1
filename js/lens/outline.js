// The border of a mask as line segments (marching squares), so that it stays sharp at any size.

/** Segments [x1, y1, x2, y2, …] along which `values` (height × width) crosses `level`, x and y from 0 to 1.
 *  The outside counts as lying below the level, so that outlines are closed at the edge of the picture. */
export function outline(values, height, width, level) {
  const segments = [];
  const at = (y, x) => (y < 0 || x < 0 || y >= height || x >= width ? -Infinity : values[y * width + x]);
  const cut = (a, b) => (Number.isFinite(a) && Number.isFinite(b) ? (level - a) / (b - a) : a === -Infinity ? 1 : 0);
  const place = (v, length) => Math.min(Math.max((v + 0.5) / length, 0), 1);
  for (let y = -1; y < height; y++) {
    for (let x = -1; x < width; x++) {
      const [a, b, c, d] = [at(y, x), at(y, x + 1), at(y + 1, x + 1), at(y + 1, x)];
      const kind = (a >= level) | ((b >= level) << 1) | ((c >= level) << 2) | ((d >= level) << 3);
      if (kind === 0 || kind === 15) continue;
      const top = () => [x + cut(a, b), y];
      const right = () => [x + 1, y + cut(b, c)];
      const bottom = () => [x + cut(d, c), y + 1];
      const left = () => [x, y + cut(a, d)];
      for (const [from, to] of lines(kind, { top, right, bottom, left })) {
        segments.push(place(from[0], width), place(from[1], height), place(to[0], width), place(to[1], height));
      }
    }
  }
  return segments;
}

function lines(kind, { top, right, bottom, left }) {
  switch (kind) {
    case 1: case 14: return [[left(), top()]];
    case 2: case 13: return [[top(), right()]];
    case 3: case 12: return [[left(), right()]];
    case 4: case 11: return [[right(), bottom()]];
    case 6: case 9: return [[top(), bottom()]];
    case 7: case 8: return [[left(), bottom()]];
    case 5: return [[left(), top()], [right(), bottom()]];
    default: return [[top(), right()], [left(), bottom()]];
  }
}
