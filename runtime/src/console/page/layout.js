// Where the nodes of a graph stand: on a ring, by name, so that a node that comes or goes moves the others little.

export const CARD = { width: 158, height: 64 };
// Beyond so many, nodes are dots.
const CARDS = 9;
// Up to so many dots have names that stand upright.
const UPRIGHT = 12;
// Dots that stand closer have no names, until one is looked at.
const SPACING = 11;

// Width and height of the picture, whether nodes are cards, and a place for each name.
export function layout(names, available) {
  const cards = names.length <= CARDS && available >= 560;
  const width = Math.max(320, Math.min(available, 1280));
  if (cards) return { cards, ...ofCards(names, width) };
  return { cards, ...ofDots(names, width) };
}

function ofCards(names, width) {
  const height = names.length <= 2 ? 220 : Math.min(540, 330 + names.length * 22);
  const radius = { x: Math.min(width / 2 - CARD.width / 2 - 24, 460), y: height / 2 - CARD.height / 2 - 18 };
  const middle = { x: width / 2, y: height / 2 };
  const places = new Map();
  if (names.length === 1) {
    places.set(names[0], { ...middle, angle: 0 });
    return { width, height, places };
  }
  const start = names.length === 2 ? Math.PI : -Math.PI / 2;
  names.forEach((name, at) => {
    const angle = start + (2 * Math.PI * at) / names.length;
    places.set(name, { x: middle.x + radius.x * Math.cos(angle), y: middle.y + radius.y * Math.sin(angle), angle });
  });
  return { width, ...fitted(places) };
}

// An odd number of nodes on a ring leaves room below.
function fitted(places) {
  const ys = [...places.values()].map((place) => place.y);
  const margin = CARD.height / 2 + 16;
  const shift = margin - Math.min(...ys);
  for (const place of places.values()) place.y += shift;
  return { places, height: Math.max(...ys) + shift + margin };
}

function ofDots(names, width) {
  const longest = Math.min(Math.max(...names.map((name) => name.length), 1), 18);
  let margin = 18 + longest * 6.4;
  const fit = () => Math.max(Math.min((width - 2 * margin) / 2, 330), 70);
  const spacing = () => (2 * Math.PI * fit()) / names.length;
  const named = spacing() >= SPACING;
  if (!named) margin = 14;
  const radius = fit();
  const upright = names.length <= UPRIGHT;
  const height = 2 * (radius + (upright ? 30 : margin));
  const middle = { x: width / 2, y: height / 2 };
  const places = new Map(names.map((name, at) => {
    const angle = -Math.PI / 2 + (2 * Math.PI * at) / names.length;
    return [name, { x: middle.x + radius * Math.cos(angle), y: middle.y + radius * Math.sin(angle), angle }];
  }));
  const dot = Math.max(2, Math.min(6, spacing() * 0.3));
  return { width, height, places, middle, upright, named, dot };
}
