// Finds the text of a prompt in the graph: from a node that reads or steers to its samplers, and from there to the text
// nodes; through reroutes, bypassed nodes and the walls of subgraphs. Reads the graph only, and knows litegraph's fields.

import { BYPASS, FROM_OUTSIDE, NEVER, TO_OUTSIDE } from "../page/facts.js";
import { isConnected, linkInto, linksFrom, linksOfIds } from "../page/links.js";

const STEPS = 5000; // more than any graph needs; ends loops

const nodeOf = (graph, id) => graph?.getNodeById?.(id) ?? null;
const ofType = (slots, type) => (slots ?? []).filter((slot) => slot.type === type);
const isNegative = (slot) => /neg/i.test(slot.name ?? "");

/** Texts behind one input of a node, and what they come from.
 *
 *  node: reads a LATENT or patches a MODEL. role: "positive" or "negative". root: the outermost graph.
 *  Returns {texts, complete, sources, encoders}: the texts of all text nodes; whether none is unknown (made by a node that only knows
 *  it when it runs); and the samplers, or whatever stands in their place, as nodes; and the text nodes as {node, scope}. */
export function promptOf(node, role, root) {
  const walk = new Walk(role);
  for (const scope of scopesOf(node.graph, root)) {
    const patched = (node.outputs ?? []).flatMap((output, slot) => (output.type === "MODEL" ? [slot] : []));
    for (const slot of patched) walk.model(node, slot, scope);
    const latent = (node.inputs ?? []).findIndex((input) => input.type === "LATENT");
    if (!patched.length && latent >= 0) walk.latent(walk.origin(node, latent, scope));
  }
  const complete = walk.complete && walk.sources.size > 0;
  return { texts: [...new Set(walk.texts)], complete, sources: [...walk.sources], encoders: walk.encoders };
}

/** Whether the CLIP of a text node goes through a node that `traces` says yes to: true, false (it comes from a loader), or
 *  null where the graph does not tell. encoder: {node, scope}, as promptOf gives it. */
export function isTraced(encoder, traces) {
  return ofType(encoder.node.inputs, "CLIP").length ? new Walk().traced(encoder, traces) : null;
}

/** The nodes that feed a node's inputs of a type, through reroutes, bypassed nodes and the walls of subgraphs. */
export function upstream(node, type, root) {
  const walk = new Walk();
  const places = scopesOf(node.graph, root).flatMap((scope) => ofType(node.inputs, type).map((input) => walk.origin(node, node.inputs.indexOf(input), scope)));
  return places.map((place) => place?.node).filter(Boolean);
}

/** Every way into a graph from the root: {host, outer} of each subgraph node that shows it; null is the root itself. */
function scopesOf(graph, root, depth = 0) {
  if (!graph || graph === root || depth > 16) return [null];
  const graphs = [root, ...(root?.subgraphs?.values?.() ?? [])];
  const hosts = graphs.flatMap((g) => (g?._nodes ?? g?.nodes ?? []).filter((node) => node.subgraph === graph));
  const scopes = hosts.flatMap((host) => scopesOf(host.graph, root, depth + 1).map((outer) => ({ host, outer })));
  return scopes.length ? scopes : [null];
}

const CONSTANT = new Set(["STRING", "INT", "FLOAT", "BOOLEAN", "COMBO"]);

class Walk {
  constructor(role) {
    this.role = role;
    this.texts = [];
    this.complete = true;
    this.sources = new Set();
    this.encoders = [];
    this.seen = new Map(); // node → scopes in which it was visited
    this.left = STEPS;
  }

  /** Whether a node is met for the first time. */
  first(node, scope) {
    const scopes = this.seen.get(node) ?? new Set();
    this.seen.set(node, scopes);
    if (scopes.has(scope?.host) || --this.left < 0) return false;
    scopes.add(scope?.host);
    return true;
  }

  // Upstream

  /** What feeds an input: {node, slot, scope}, {value} for a field of a subgraph node, or null. */
  origin(node, index, scope) {
    return this.follow(node.graph, linkInto(node, index), scope);
  }

  follow(graph, link, scope) {
    if (!link || --this.left < 0) return null;
    if (String(link.origin_id) !== FROM_OUTSIDE) return this.through(nodeOf(graph, link.origin_id), link.origin_slot, scope);
    const input = scope?.host.inputs?.[link.origin_slot];
    if (!input) return null;
    if (isConnected(scope.host, link.origin_slot)) return this.origin(scope.host, link.origin_slot, scope.outer);
    const field = scope.host.widgets?.find((widget) => widget.name === (input.widget?.name ?? input.name));
    return typeof field?.value === "string" ? { value: field.value } : null;
  }

  /** The node that really makes an output: behind reroutes and bypassed nodes, inside of subgraphs. */
  through(node, slot, scope) {
    if (!node || node.mode === NEVER) return null;
    if (node.mode === BYPASS) {
      const type = node.outputs?.[slot]?.type;
      const inputs = node.inputs ?? [];
      // as ComfyUI does: the input in the output's own place, else the first of its type
      const same = inputs[slot]?.type === type ? slot : inputs.findIndex((input) => input.type === type);
      return same < 0 ? null : this.origin(node, same, scope);
    }
    if (node.subgraph) {
      const [link] = linksOfIds(node.subgraph, node.subgraph.outputs?.[slot]?.linkIds);
      return this.follow(node.subgraph, link, { host: node, outer: scope });
    }
    if (node.type === "Reroute") return this.origin(node, 0, scope);
    // a node that exists in the page only, and stands for another's output
    const link = node.isVirtualNode ? node.getInputLink?.(slot) : null;
    return link ? this.follow(node.graph, link, scope) : { node, slot, scope };
  }

  /** From a latent to the sampler that made it. */
  latent(place) {
    if (!place?.node || !this.first(place.node, place.scope)) return;
    const { node, scope } = place;
    if (this.sampler(node, scope)) return;
    const inputs = ofType(node.inputs, "LATENT");
    if (!inputs.length) this.unknown(node);
    for (const input of inputs) this.latent(this.origin(node, node.inputs.indexOf(input), scope));
  }

  /** Reads the conditionings of a sampler or guider; false where the node is neither. */
  sampler(node, scope) {
    const guiders = ofType(node.inputs, "GUIDER");
    const conditionings = ofType(node.inputs, "CONDITIONING");
    if (!guiders.length && !conditionings.length) return false;
    this.sources.add(node);
    for (const guider of guiders) {
      const place = this.origin(node, node.inputs.indexOf(guider), scope);
      if (!place?.node || !ofType(place.node.inputs, "CONDITIONING").length) this.complete = false;
      else {
        this.sources.add(place.node);
        this.sides(place.node, place.scope, this.role);
      }
    }
    this.sides(node, scope, this.role);
    return true;
  }

  unknown(node) {
    this.sources.add(node);
    this.complete = false;
  }

  sides(node, scope, role) {
    for (const input of ofType(node.inputs, "CONDITIONING")) {
      if (isNegative(input) !== (role === "negative")) continue;
      this.conditioning(this.origin(node, node.inputs.indexOf(input), scope));
    }
  }

  /** From a conditioning to its text nodes. */
  conditioning(place) {
    if (!place) return;
    const { node, slot, scope } = place;
    if (!node) return void (this.complete = false);
    const inputs = ofType(node.inputs, "CONDITIONING");
    if (node.type === "ConditioningZeroOut") return;
    if (!inputs.length) {
      if (!this.first(node, scope)) return;
      this.encoders.push({ node, scope });
      const texts = this.fields(node, scope);
      if (!texts.length) this.complete = false;
      return void this.texts.push(...texts);
    }
    if (--this.left < 0) return;
    // nodes with both sides, such as those of ControlNet, give each back in an output of its own
    const own = node.outputs?.[slot];
    if (inputs.some(isNegative) && !inputs.every(isNegative)) this.sides(node, scope, isNegative(own) ? "negative" : "positive");
    else for (const input of inputs) this.conditioning(this.origin(node, node.inputs.indexOf(input), scope));
  }

  /** See isTraced. */
  traced({ node, scope }, traces) {
    if (--this.left < 0) return null;
    const clips = ofType(node.inputs, "CLIP");
    // a node that has what it gives from elsewhere than a CLIP input, such as a pipe, tells nothing
    if (!clips.length) {
      const others = (node.inputs ?? []).filter((input) => !CONSTANT.has(input.type));
      return others.some((input) => this.origin(node, node.inputs.indexOf(input), scope)) ? null : false;
    }
    const answers = clips.map((input) => {
      const place = this.origin(node, node.inputs.indexOf(input), scope);
      return !place?.node ? null : traces(place.node) ? true : this.traced(place, traces);
    });
    return answers.every((answer) => answer === answers[0]) ? answers[0] : null;
  }

  // Text

  /** Texts in a node's fields, or in what is connected to them. */
  fields(node, scope) {
    const isText = (widget) => typeof widget.value === "string" && /^(customtext|text|string|textarea)$/i.test(widget.type ?? "");
    const all = (node.widgets ?? []).filter(isText);
    const large = all.filter((widget) => widget.type === "customtext" || widget.options?.multiline);
    const widgets = large.length ? large : all;
    const covered = new Set(widgets.map((widget) => widget.name));
    const texts = widgets.map((widget) => {
      const index = (node.inputs ?? []).findIndex((input) => (input.widget?.name ?? input.name) === widget.name);
      return isConnected(node, index) ? this.text(this.origin(node, index, scope)) : widget.value;
    });
    (node.inputs ?? []).forEach((input, index) => {
      if (input.type === "STRING" && isConnected(node, index) && !covered.has(input.widget?.name ?? input.name))
        texts.push(this.text(this.origin(node, index, scope)));
    });
    return texts.filter((text) => typeof text === "string");
  }

  /** The text that a node hands on, or null (and `complete` false) where only a run tells. */
  text(place) {
    if (place?.value !== undefined) return place.value;
    const node = place?.node;
    const known = node && /^(Primitive|String(Concatenate|Multiline)?$|Text Multiline$)/.test(node.type ?? "");
    if (!known || --this.left < 0) {
      this.complete = false;
      return null;
    }
    if (node.type !== "StringConcatenate") return this.fields(node, place.scope).join(" ");
    const value = (name) => {
      const index = node.inputs.findIndex((input) => (input.widget?.name ?? input.name) === name);
      if (isConnected(node, index)) return this.text(this.origin(node, index, place.scope)) ?? "";
      return node.widgets?.find((widget) => widget.name === name)?.value ?? "";
    };
    return value("string_a") + value("delimiter") + value("string_b");
  }

  // Downstream

  /** From a MODEL output to the samplers that use it. */
  model(node, slot, scope) {
    for (const { node: user, scope: inside } of this.users(node, slot, scope)) {
      if (user.mode === NEVER || !this.first(user, inside)) continue;
      if (user.mode !== BYPASS && this.sampler(user, inside)) continue;
      (user.outputs ?? []).forEach((output, next) => {
        if (output.type === "MODEL" || user.isVirtualNode) this.model(user, next, inside);
      });
    }
  }

  /** Nodes that an output goes to, inside of subgraphs and out of them. */
  users(node, slot, scope) {
    return linksFrom(node, slot).flatMap((link) => this.target(node.graph, link, scope));
  }

  target(graph, link, scope) {
    if (!link || --this.left < 0) return [];
    if (String(link.target_id) === TO_OUTSIDE) return scope ? this.users(scope.host, link.target_slot, scope.outer) : [];
    const node = nodeOf(graph, link.target_id);
    if (!node?.subgraph) return node ? [{ node, scope }] : [];
    const links = linksOfIds(node.subgraph, node.subgraph.inputs?.[link.target_slot]?.linkIds);
    return links.flatMap((inner) => this.target(node.subgraph, inner, { host: node, outer: scope }));
  }
}
