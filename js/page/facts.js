// What the pack knows of ComfyUI's page in numbers and names, each once. docs/host.md has them all, also those that are
// methods of a node and need no name here.

/** A node's mode. */
export const [RUNS, NEVER, BYPASS] = [0, 2, 4];

/** Ids that links have at the walls of a subgraph, as text. */
export const [FROM_OUTSIDE, TO_OUTSIDE] = ["-10", "-20"];

/** Events of the page's api. */
export const EVENTS = {
  GRAPH_CHANGED: "graphChanged",
  EXECUTION_ERROR: "execution_error",
  EXECUTION_START: "execution_start",
  EXECUTING: "executing",
};
