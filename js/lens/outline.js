// The border of a mask as line segments (marching squares), so that it stays sharp at any size.

/** Segments [x1, y1, x2, y2, …] along which `values` (height × width) crosses `level`, x and y from 0 to 1.
 *  The outside counts as lying below the level, so that outlines are closed at the edge of the picture. */
export function outline(values, height, width, level) {
  const segments = [];
  const row = width + 2; // one cell of outside on either side
  const above = new Uint8Array((height + 2) * row);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) above[(y + 1) * row + x + 1] = values[y * width + x] >= level ? 1 : 0;
  const at = (y, x) => (y < 0 || x < 0 || y >= height || x >= width ? -Infinity : values[y * width + x]);
  const cut = (a, b) => (a === -Infinity ? 1 : b === -Infinity ? 0 : (level - a) / (b - a));
  const place = (v, length) => Math.min(Math.max((v + 0.5) / length, 0), 1);
  for (let y = -1; y < height; y++) {
    for (let x = -1, i = (y + 1) * row; x < width; x++, i++) {
      const kind = above[i] | (above[i + 1] << 1) | (above[i + row + 1] << 2) | (above[i + row] << 3);
      if (kind === 0 || kind === 15) continue;
      const [a, b, c, d] = [at(y, x), at(y, x + 1), at(y + 1, x + 1), at(y + 1, x)];
      // where the sides of the cell are cut: top, right, bottom, left
      const sides = [x + cut(a, b), y, x + 1, y + cut(b, c), x + cut(d, c), y + 1, x, y + cut(a, d)];
      for (const side of LINES[kind]) segments.push(place(sides[2 * side], width), place(sides[2 * side + 1], height));
    }
  }
  return segments;
}

const [TOP, RIGHT, BOTTOM, LEFT] = [0, 1, 2, 3];
const LINES = []; // by which corners lie above: a 1, b 2, c 4, d 8, clockwise from the upper left
LINES[1] = LINES[14] = [LEFT, TOP];
LINES[2] = LINES[13] = [TOP, RIGHT];
LINES[3] = LINES[12] = [LEFT, RIGHT];
LINES[4] = LINES[11] = [RIGHT, BOTTOM];
LINES[6] = LINES[9] = [TOP, BOTTOM];
LINES[7] = LINES[8] = [LEFT, BOTTOM];
LINES[5] = [LEFT, TOP, RIGHT, BOTTOM];
LINES[10] = [TOP, RIGHT, LEFT, BOTTOM];
