"""Every example opens in ComfyUI's page: no red nodes, none on top of another."""

import json

from devtools.server import ROOT

EXAMPLES = sorted((ROOT / "example_workflows").glob("*.json"))
FAULTS = """() => {
    const nodes = window.app.graph._nodes;
    const known = window.LiteGraph.registered_node_types;
    // a loader is red where its checkpoint is not on this computer
    const red = nodes.filter((n) => !known[n.type] || (n.has_errors && !n.properties.models)).map((n) => n.type);
    const boxes = nodes.map((n) => ({ name: n.title, x: n.pos[0], y: n.pos[1] - 30, w: n.size[0], h: n.size[1] + 30 }));
    const overlap = [];
    boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b) => {
        if (a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h) overlap.push(`${a.name} / ${b.name}`);
    }));
    const widgets = nodes.flatMap((n) => (n.widgets ?? []).filter((w) => w.value === undefined).map((w) => `${n.type}.${w.name}`));
    return { red, overlap, widgets };
}"""


def test_every_example_opens(editor):
    assert EXAMPLES
    faults = {}
    for path in EXAMPLES:
        workflow = json.loads(path.read_text("utf-8"))
        editor.load(workflow)
        found = editor.page.evaluate(FAULTS)
        if any(found.values()):
            faults[path.name] = found
        saved = {n["id"]: n.get("widgets_values") or [] for n in editor.saved()["nodes"]}
        for node in workflow["nodes"]:
            if node["type"].startswith("HRV"):  # newer fields come after those of the file
                wanted = node.get("widgets_values") or []  # newer pages leave out an empty list
                assert saved[node["id"]][: len(wanted)] == wanted, (path.name, node["type"])
    assert not faults
