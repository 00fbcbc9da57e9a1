"""The subgraph blueprints: ComfyUI serves them, and their insides fit the nodes. tests/browser drops and runs them."""

import json

import pytest

from devtools.server import ROOT
from devtools.workflow import widget_specs

BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"))
OUTSIDE = {-10, -20}


def test_comfyui_serves_every_blueprint(server):
    ours = {
        entry["name"]: key
        for key, entry in server.get("/global_subgraphs").items()
        if entry["info"]["node_pack"] == "custom_nodes.ComfyUI-HRV"
    }
    assert BLUEPRINTS and set(ours) == {path.stem for path in BLUEPRINTS}
    for path in BLUEPRINTS:
        assert server.get(f"/global_subgraphs/{ours[path.stem]}")["data"] == path.read_text("utf-8")


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_the_inside_fits_the_nodes(server, path):
    object_info = server.object_info()
    (subgraph,) = json.loads(path.read_text("utf-8"))["definitions"]["subgraphs"]
    nodes = {node["id"]: node for node in subgraph["nodes"]}
    for node in nodes.values():
        info = object_info[node["type"]]
        specs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
        fields = [slot["name"] for slot in node["inputs"] if "widget" in slot]
        assert fields == [name for name, _, _ in widget_specs(info)][: len(fields)], node["type"]
        assert {slot["name"] for slot in node["inputs"]} <= set(specs), node["type"]
        assert [slot["type"] for slot in node["outputs"]] == info["output"], node["type"]
        for slot in node["inputs"]:
            kind = "COMBO" if isinstance(specs[slot["name"]][0], list) else specs[slot["name"]][0]
            assert slot["type"] == kind, (node["type"], slot["name"])
            required = slot["name"] in info["input"].get("required", {})
            assert slot["link"] or "widget" in slot or not required, (node["type"], slot["name"])
    for link in subgraph["links"]:
        origin = (
            subgraph["inputs"] if link["origin_id"] in OUTSIDE else nodes[link["origin_id"]]["outputs"]
        )[link["origin_slot"]]
        target = (
            subgraph["outputs"] if link["target_id"] in OUTSIDE else nodes[link["target_id"]]["inputs"]
        )[link["target_slot"]]
        assert origin["type"] == target["type"] == link["type"]
