"""A workflow file becomes the prompt that the editor would have sent."""

import pytest

from devtools.workflow import WorkflowError, workflow_to_prompt

OBJECT_INFO = {
    "Load": {
        "input": {"required": {"name": [["a.safetensors", "b.safetensors"]]}},
        "display_name": "Load it",
    },
    "Sample": {
        "input": {
            "required": {
                "model": ["MODEL"],
                "seed": ["INT", {"default": 0, "control_after_generate": True}],
                "steps": ["INT", {"default": 20}],
                "mode": ["COMBO", {"options": ["slow", "fast"]}],
            },
            "optional": {"text": ["STRING", {"default": ""}], "late": ["FLOAT", {"forceInput": True}]},
        }
    },
}


def node(id, type, inputs=(), values=(), **more):
    entries = [{"name": name, "type": kind, "link": link} for name, kind, link in inputs]
    return {"id": id, "type": type, "inputs": entries, "widgets_values": list(values), **more}


def graph(nodes, links):
    return {"nodes": nodes, "links": links}


LOADER = node(1, "Load", values=["b.safetensors"])
SAMPLER = node(2, "Sample", [("model", "MODEL", 7)], [5, "randomize", 30, "fast", "cat"])


def test_widgets_come_in_order_and_the_seed_control_is_skipped():
    prompt = workflow_to_prompt(graph([LOADER, SAMPLER], [[7, 1, 0, 2, 0, "MODEL"]]), OBJECT_INFO)
    assert prompt["1"] == {
        "class_type": "Load",
        "inputs": {"name": "b.safetensors"},
        "_meta": {"title": "Load it"},
    }
    assert prompt["2"]["inputs"] == {
        "model": ["1", 0], "seed": 5, "steps": 30, "mode": "fast", "text": "cat",
    }  # fmt: skip


def test_links_may_be_objects_too():
    links = [{"id": 7, "origin_id": 1, "origin_slot": 0, "target_id": 2, "target_slot": 0, "type": "MODEL"}]
    assert workflow_to_prompt(graph([LOADER, SAMPLER], links), OBJECT_INFO)["2"]["inputs"]["model"] == [
        "1",
        0,
    ]


def test_values_the_file_lacks_take_their_defaults():
    sampler = node(2, "Sample", [("model", "MODEL", 7)], [5, "fixed"])
    inputs = workflow_to_prompt(graph([LOADER, sampler], [[7, 1, 0, 2, 0, "MODEL"]]), OBJECT_INFO)["2"][
        "inputs"
    ]
    assert inputs == {"model": ["1", 0], "seed": 5, "steps": 20, "mode": "slow", "text": ""}


def test_a_converted_widget_still_has_its_place():
    number = node(3, "PrimitiveNode", values=[12, "fixed"])
    sampler = node(2, "Sample", [("model", "MODEL", 7), ("steps", "INT", 8)], [5, "fixed", 30, "fast", "cat"])
    links = [[7, 1, 0, 2, 0, "MODEL"], [8, 3, 0, 2, 1, "INT"]]
    inputs = workflow_to_prompt(graph([LOADER, number, sampler], links), OBJECT_INFO)["2"]["inputs"]
    assert inputs["steps"] == 12 and inputs["mode"] == "fast"


@pytest.mark.parametrize(
    "between", [node(3, "Reroute", [("", "*", 8)]), node(3, "Sample", [("m", "MODEL", 8)], mode=4)]
)
def test_reroutes_and_bypassed_nodes_are_passed_through(between):
    links = [[8, 1, 0, 3, 0, "MODEL"], [7, 3, 0, 2, 0, "MODEL"]]
    prompt = workflow_to_prompt(graph([LOADER, between, SAMPLER], links), OBJECT_INFO)
    assert prompt["2"]["inputs"]["model"] == ["1", 0]
    assert set(prompt) == {"1", "2"}


def test_notes_and_muted_nodes_do_not_run():
    note, muted = node(4, "MarkdownNote", values=["read me"]), {**LOADER, "mode": 2}
    prompt = workflow_to_prompt(graph([muted, note, SAMPLER], [[7, 1, 0, 2, 0, "MODEL"]]), OBJECT_INFO)
    assert set(prompt) == {"2"} and "model" not in prompt["2"]["inputs"]


def test_an_unknown_node_is_named():
    with pytest.raises(WorkflowError, match="node 9 is a Missing"):
        workflow_to_prompt(graph([node(9, "Missing")], []), OBJECT_INFO)
