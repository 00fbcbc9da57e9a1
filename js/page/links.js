// The links of a node's slots, on every page. Pages up to 1.52 keep the ids of links in the slots; newer ones keep links in a
// store, and warn whoever reads them from a slot.

const linkOf = (graph, id) => (id == null ? null : (graph?.getLink?.(id) ?? graph?.links?.get?.(id) ?? graph?.links?.[id] ?? null));
const same = (a, b) => String(a) === String(b);
const linksOf = (graph) => [...(graph?.links?.values?.() ?? [])];

/** Whether something is connected to an input of a node. */
export function isConnected(node, index) {
  const input = node?.inputs?.[index];
  if (!input) return false;
  return Object.hasOwn(input, "link") ? input.link != null : node.isInputConnected(index);
}

/** The link into an input, or null.
 *
 *  Not by node.getInputLink: nodes that stand for others, subgraphs among them, answer with what is behind an output. */
export function linkInto(node, index) {
  if (!isConnected(node, index)) return null;
  const input = node.inputs[index];
  if (Object.hasOwn(input, "link")) return linkOf(node.graph, input.link);
  return linksOf(node.graph).find((link) => same(link.target_id, node.id) && link.target_slot === index) ?? null;
}

/** The links from an output. */
export function linksFrom(node, slot) {
  const output = node?.outputs?.[slot];
  if (!output) return [];
  if (Object.hasOwn(output, "links")) return linksOfIds(node.graph, output.links);
  return linksOf(node.graph).filter((link) => same(link.origin_id, node.id) && link.origin_slot === slot);
}

/** The links with these ids, of those that are there. */
export const linksOfIds = (graph, ids) => (ids ?? []).map((id) => linkOf(graph, id)).filter(Boolean);
