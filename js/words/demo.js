// The words that the demo model knows, as docs/demo_model.md lists them and tools/train_demo/world.py has them.

export const DEMO_WORDS = {
  things: "fish, bird, cat, car, boat, house, tree, mug, star, rose, orange, mint",
  colours: "red, orange, yellow, green, mint, blue, purple, rose, white, black",
  patterns: "plain, striped, dotted",
  sizes: "small, medium, large",
  places: "on grass, on sand, at night, in snow, on stone",
};
const OTHERS = "a an the one in on at and next to left right of with thing picture drawing big tiny";

/** All of them, and those that join them. */
export const DEMO_KNOWS = new Set(`${Object.values(DEMO_WORDS).join(" ")} ${OTHERS}`.split(/[ ,]+/));
