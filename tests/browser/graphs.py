"""Graphs for the tests of ComfyUI's page: changes to the one that is open, and small ones that only look like litegraph's."""

import pytest

NEW_NODE = """([type, changes, links]) => {
    const graph = window.app.rootGraph ?? window.app.graph;
    const node = window.LiteGraph.createNode(type);
    graph.add(node);
    for (const [name, value] of Object.entries(changes)) node.widgets.find((w) => w.name === name).value = value;
    const at = (which) => (which === "new" ? node : graph._nodes.find((n) => (n.title === which || n.type === which)));
    for (const [from, slot, to, input] of links) {
        at(from).connect(slot, at(to), at(to).inputs.findIndex((i) => i.name === input));
    }
    window.app.canvas.emitBeforeChange();
    window.app.canvas.emitAfterChange();
}"""
TO_SUBGRAPH = """titles => {
    const graph = window.app.rootGraph ?? window.app.graph;
    const nodes = graph._nodes.filter((n) => titles.includes(n.title) || titles.includes(n.type));
    graph.convertToSubgraph(new Set(nodes));
}"""
UNPACK = "() => { const g = window.app.rootGraph; g.unpackSubgraph(g._nodes.find((n) => n.subgraph)); }"
OPEN_SUBGRAPH = """() => {
    const node = (window.app.rootGraph ?? window.app.graph)._nodes.find((n) => n.subgraph);
    window.app.canvas.openSubgraph(node.subgraph, node);
}"""
OUTSIDE = "() => window.app.canvas.setGraph(window.app.rootGraph ?? window.app.graph)"
HINT = "nodes.find((n) => n.type === 'HRVHeatmap').widgets.find((w) => w.name === 'word_picker').element.textContent"
# A graph as litegraph has it: node(id, type, {input: [type, from id, slot]}, {output: type}, fields). `older` pages keep the ids
# of links in the slots, newer ones warn whoever reads them there.
FAKE = """
    const graph = { links: new Map(), nodes: new Map(), getNodeById: (id) => graph.nodes.get(id), subgraphs: new Map() };
    Object.defineProperty(graph, "_nodes", { get: () => [...graph.nodes.values()] });
    let number = 0;
    const node = (id, type, inputs = {}, outputs = {}, fields = {}, mode = 0) => {
        const made = { id, type, mode, graph, widgets: [], outputs: Object.entries(outputs).map(([name, type]) => ({ name, type, links: [] })) };
        made.inputs = Object.entries(inputs).map(([name, [type, from, slot = 0]], i) => {
            if (from === undefined) return { name, type, link: null };
            graph.links.set(++number, { id: number, origin_id: from, origin_slot: slot, target_id: id, target_slot: i });
            graph.nodes.get(from).outputs[slot].links.push(number);
            return { name, type, link: number };
        });
        made.widgets = Object.entries(fields).map(([name, value]) => ({ name, value, type: "customtext" }));
        graph.nodes.set(id, made);
        if (!older) made.isInputConnected = (slot) => [...graph.links.values()].some((l) => l.target_id === id && l.target_slot === slot);
        return made;
    };
    const warns = { get link() { throw new Error("input.link is deprecated"); }, get links() { throw new Error("output.links is deprecated"); } };
    const newer = () => older || graph.nodes.forEach((made) => [...made.inputs, ...made.outputs].forEach((slot) => {
        delete slot.link;
        delete slot.links;
        Object.setPrototypeOf(slot, warns);
    }));
    const text = (id, value, mode) => node(id, "CLIPTextEncode", {}, { CONDITIONING: "CONDITIONING" }, { text: value }, mode);
    const C = "CONDITIONING";
    const { promptOf } = await import("/extensions/ComfyUI-HRV/words/graph.js");
    const told = (reader, role = "positive") => { newer(); const { texts, complete } = promptOf(reader, role, graph); return [texts, complete]; };
    const sampler = (id, positive, negative = []) =>
        node(id, "KSampler", { positive: [C, ...positive], negative: [C, ...negative] }, { LATENT: "LATENT" });
    const reader = (from) => node(99, "HRVHeatmap", { latent: ["LATENT", from] });
"""


def in_both_ways(cases):
    """A test for each case, with links as older pages and as newer ones keep them."""

    def marked(test):
        ways = pytest.mark.parametrize("older", [True, False], ids=["links in slots", "links in a store"])
        return ways(pytest.mark.parametrize("case", cases)(test))

    return marked
