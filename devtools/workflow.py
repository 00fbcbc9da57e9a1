"""A workflow file, as the editor saves it, turned into the prompt that the server runs.

The editor does this in the browser; here it is for the demo and for the tests of the example workflows.
Understood: widgets and converted widgets, control_after_generate, links, Reroute, PrimitiveNode, notes, muted
and bypassed nodes. Subgraphs are not.
"""

from collections.abc import Iterator

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "IMAGECOMPARE"}
COMPARISON = "IMAGECOMPARE"  # an area of the page, which sends nothing and is in no file
CONTROLS = {"fixed", "increment", "decrement", "randomize"}
NOTES = {"Note", "MarkdownNote"}
MUTED, BYPASSED = 2, 4


class WorkflowError(ValueError):
    """The workflow holds something that this ComfyUI does not know."""


def workflow_to_prompt(workflow: dict, object_info: dict) -> dict:
    """Return {node id: {"class_type", "inputs", "_meta": {"title"}}}.

    object_info: /object_info of the server that will run it. Raises `WorkflowError` for unknown nodes.
    """
    graph = Graph(workflow, object_info)
    prompt = {}
    for node in graph.nodes.values():
        if graph.runs(node):
            inputs = graph.widget_values(node) | graph.linked_inputs(node)
            title = node.get("title") or object_info[node["type"]].get("display_name") or node["type"]
            prompt[str(node["id"])] = {
                "class_type": node["type"],
                "inputs": inputs,
                "_meta": {"title": title},
            }
    return prompt


def widget_specs(info: dict) -> Iterator[tuple[str, object, dict]]:
    """The (name, type, options) of a node's inputs that are widgets, in the order of `widgets_values`."""
    for group in ("required", "optional"):
        for name, spec in info["input"].get(group, {}).items():
            kind, options = spec[0], spec[1] if len(spec) > 1 else {}
            if (isinstance(kind, list) or kind in WIDGETS) and not options.get("forceInput"):
                yield name, kind, options


def choices(kind: object, options: dict) -> list | None:
    """The values a combo widget accepts; None for other widgets."""
    return kind if isinstance(kind, list) else options.get("options") if kind == "COMBO" else None


def has_control(name: str, kind: object, options: dict) -> bool:
    """True if the editor puts a "control after generate" widget behind this one, whose value is saved too."""
    return bool(options.get("control_after_generate", kind == "INT" and name in ("seed", "noise_seed")))


class Graph:
    """The nodes and links of one workflow file."""

    def __init__(self, workflow: dict, object_info: dict):
        if workflow.get("definitions", {}).get("subgraphs"):
            raise WorkflowError("subgraphs are not understood here")
        self.nodes = {node["id"]: node for node in workflow["nodes"]}
        self.object_info = object_info
        # link id -> (node id, output slot)
        self.links = {}
        for link in workflow["links"]:
            if isinstance(link, dict):
                self.links[link["id"]] = (link["origin_id"], link["origin_slot"])
            else:
                self.links[link[0]] = (link[1], link[2])

    def runs(self, node: dict) -> bool:
        """False for what exists in the editor only, and for what is switched off."""
        if node.get("mode", 0) in (MUTED, BYPASSED) or node["type"] in NOTES | {"Reroute", "PrimitiveNode"}:
            return False
        if node["type"] not in self.object_info:
            raise WorkflowError(f"node {node['id']} is a {node['type']}, which this ComfyUI does not have")
        return True

    def widget_values(self, node: dict) -> dict:
        """The node's widget inputs by name; a value the file lacks is the node's default."""
        saved = node.get("widgets_values") or []
        specs = list(widget_specs(self.object_info[node["type"]]))
        if isinstance(saved, dict):
            return {name: saved[name] for name, _, _ in specs if name in saved}
        values, position = {}, 0
        for name, kind, options in specs:
            if kind == COMPARISON:
                values[name] = ""
            elif position < len(saved):
                values[name] = saved[position]
                position += 1
                if has_control(name, kind, options) and position < len(saved) and saved[position] in CONTROLS:
                    position += 1
            elif "default" in options:
                values[name] = options["default"]
            elif choices(kind, options):
                values[name] = choices(kind, options)[0]
        return values

    def linked_inputs(self, node: dict) -> dict:
        """The node's connected inputs by name: [node id, slot], or the value of a PrimitiveNode."""
        inputs = {}
        for entry in node.get("inputs", []):
            source = self.source(entry.get("link"), entry.get("type"))
            if source is None:
                continue
            origin, slot = source
            if origin["type"] == "PrimitiveNode":
                inputs[entry["name"]] = origin["widgets_values"][0]
            else:
                inputs[entry["name"]] = [str(origin["id"]), slot]
        return inputs

    def source(self, link: int | None, kind: str) -> tuple[dict, int] | None:
        """The node and output slot a link really comes from, through Reroutes and bypassed nodes."""
        while link is not None:
            origin_id, slot = self.links[link]
            origin = self.nodes[origin_id]
            mode = origin.get("mode", 0)
            if mode == MUTED:
                return None
            if origin["type"] == "Reroute":
                link = origin["inputs"][0].get("link")
            elif mode == BYPASSED:
                same = [entry for entry in origin.get("inputs", []) if entry.get("type") == kind]
                link = same[0].get("link") if same else None
            else:
                return origin, slot
        return None
