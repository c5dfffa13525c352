/**
 * Draws the icons: a coloured tile with a white sign, so that they are legible on light and on dark pages.
 * `--check` compares with the files instead of writing them.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { png } from './png.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const BLUE = [0x1f, 0x5f, 0xbf];
const GREEN = [0x1c, 0x7a, 0x4a];
const AMBER = [0xa8, 0x5a, 0x00];
const RED = [0xb0, 0x2a, 0x37];

/** Signs as distances to their outline, negative inside; the tile reaches from -1 to 1. */
const hexagon = (r) => (x, y) => Math.max(Math.abs(y), Math.abs(x) * 0.866 + Math.abs(y) * 0.5) - r;
const ring = (shape, width) => (x, y) => Math.abs(shape(x, y)) - width / 2;
const bar = (x1, y1, x2, y2, width) => (x, y) => {
  const [dx, dy] = [x2 - x1, y2 - y1];
  const along = Math.max(0, Math.min(1, ((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy)));
  return Math.hypot(x - x1 - along * dx, y - y1 - along * dy) - width / 2;
};
const all =
  (...shapes) =>
  (x, y) =>
    Math.min(...shapes.map((shape) => shape(x, y)));
const circle = (r) => (x, y) => Math.hypot(x, y) - r;
/** From (x1, y1) to (x2, y2), with its head at the end. */
const arrow = (x1, y1, x2, y2) => {
  const length = Math.hypot(x2 - x1, y2 - y1);
  const [ux, uy] = [(x2 - x1) / length, (y2 - y1) / length];
  const wing = (side) => bar(x2, y2, x2 - 0.28 * (ux + side * uy), y2 - 0.28 * (uy - side * ux), 0.15);
  return all(bar(x1, y1, x2, y2, 0.15), wing(1), wing(-1));
};
const node = ring(hexagon(0.66), 0.14);

const ICONS = {
  'images/extension-icon.png': [
    128,
    BLUE,
    all(node, arrow(-0.28, 0.12, 0.3, 0.12), arrow(0.28, -0.14, -0.3, -0.14)),
  ],
  'tasks/PlanCycle/icon.png': [
    32,
    BLUE,
    all(ring(circle(0.62), 0.15), bar(0, 0, 0, -0.38, 0.15), bar(0, 0, 0.28, 0.14, 0.15)),
  ],
  'tasks/ProvisionNode/icon.png': [
    32,
    GREEN,
    all(node, bar(-0.3, 0, 0.3, 0, 0.16), bar(0, -0.3, 0, 0.3, 0.16)),
  ],
  'tasks/RkeAddNode/icon.png': [32, GREEN, all(node, arrow(-0.95, 0, 0.25, 0))],
  'tasks/UpdateIngress/icon.png': [
    32,
    BLUE,
    all(bar(-0.6, 0, -0.1, 0, 0.15), arrow(-0.1, 0, 0.6, -0.45), arrow(-0.1, 0, 0.6, 0.45)),
  ],
  'tasks/SwapDns/icon.png': [32, BLUE, all(arrow(-0.6, -0.28, 0.6, -0.28), arrow(0.6, 0.28, -0.6, 0.28))],
  'tasks/RkeRemoveRole/icon.png': [32, AMBER, all(node, bar(-0.3, 0, 0.3, 0, 0.17))],
  'tasks/DeleteVm/icon.png': [
    32,
    RED,
    all(node, bar(-0.22, -0.22, 0.22, 0.22, 0.17), bar(-0.22, 0.22, 0.22, -0.22, 0.17)),
  ],
};

const stale = [];
for (const [path, [size, colour, sign]] of Object.entries(ICONS)) {
  const bytes = draw(size, colour, sign);
  const file = join(root, path);
  if (existsSync(file) && readFileSync(file).equals(bytes)) continue;
  if (process.argv.includes('--check')) stale.push(path);
  else {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, bytes);
    console.log(`icons: ${path} ${bytes.length} bytes`);
  }
}
if (stale.length > 0) {
  console.error(`icons: not as drawn: ${stale.join(', ')}; run node scripts/icons.mjs`);
  process.exit(1);
}

function draw(size, [red, green, blue], sign) {
  const unit = 2 / size;
  const cover = (distance) => Math.max(0, Math.min(1, 0.5 - distance / unit));
  return png(size, (px, py) => {
    const [x, y] = [(px + 0.5) * unit - 1, (py + 0.5) * unit - 1];
    const [qx, qy] = [Math.abs(x) - 0.72, Math.abs(y) - 0.72];
    const tile = Math.hypot(Math.max(qx, 0), Math.max(qy, 0)) + Math.min(Math.max(qx, qy), 0) - 0.26;
    const white = cover(sign(x, y));
    const mix = (channel) => Math.round(channel + (255 - channel) * white);
    return [mix(red), mix(green), mix(blue), Math.round(255 * cover(tile))];
  });
}
