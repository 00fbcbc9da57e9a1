"""What the nodes keep in undo, copies, tabs and files, on the pinned page and the newest; and files that were saved damaged."""

import json
import uuid
from pathlib import Path

import pytest

DAMAGED = Path(__file__).with_name("damaged")
# fields that came after the damaged files: with their defaults, which those files get
NEWER_MAPS = {
    "refine": "none",
    "maps": "best heads for each word",
    "share": "of everything",
    "border_peaks": "left out",
}
NEWER = {"tint": "where it is hot", **NEWER_MAPS}
# node → its fields in order, with values that are not their defaults; the nodes with word buttons, and the lens
VALUES = {
    "HRVHeatmap": {
        "words": "fish, red star", "unit": "tags", "role": "negative", "normalize": "per word", "threshold": 0.3, "alpha": 0.5,
        "colormap": "viridis", "caption": False, "prompt_text": "a fish", "timeline": True, **NEWER,
    },
    "HRVCompareConcepts": {"word": "fish", "concepts": "Animals, Color", "percent": 30, "prompt_text": "a fish"},
    "HRVAutoHeads": {"word": "fish", "percent": 30, "prompt_text": "a fish"},
    "HRVStrengthenConcept": {
        "concept": "Color", "words": "fish", "strength": 2, "clamp": 3, "start_percent": 0.1, "end_percent": 0.9,
        "record_steered": True,
    },
    "HRVAdjustConcept": {
        "wanted": "Color", "unwanted": "Shape", "words": "fish", "strength": 2, "clamp": 3, "start_percent": 0.1,
        "end_percent": 0.9, "record_steered": True,
    },
    "HRVScaleHeads": {
        "words": "fish", "factor": -1.5, "start_percent": 0.1, "end_percent": 0.9, "record_steered": True,
    },
    "HRVAttendExcite": {
        "words": "fish", "strength": 2, "start_percent": 0.1, "end_percent": 0.6, "concept": "Color", "smoothing": False,
    },
    "HRVPromptEdit": {
        "cross_percent": 0.7, "self_percent": 0.3, "changed_words": "a place of its own", "concept": "Color", "words": "blue",
        "strength": 2, "clamp": 3, "self_grids": "all",
    },
    "HRVLens": {"unit": "tags", "words": "fish", "threshold": 0.3, "concept": "Color", "percent": 30, "prompt_text": "", **NEWER_MAPS},
}  # fmt: skip
ADD = """all => {
    const graph = window.app.rootGraph ?? window.app.graph;
    Object.entries(all).forEach(([type, values], i) => {
        const node = window.LiteGraph.createNode(type);
        node.pos = [500 * (i % 5), 900 * Math.floor(i / 5)];
        graph.add(node);
        for (const [name, value] of Object.entries(values)) node.widgets.find((w) => w.name === name).value = value;
    });
    window.app.canvas.emitBeforeChange();
    window.app.canvas.emitAfterChange();
}"""
COPY = """() => {
    const canvas = window.app.canvas;
    canvas.selectItems([...canvas.graph._nodes]);
    canvas.copyToClipboard();
    canvas.pasteFromClipboard();
}"""
CHANGE = """() => {
    for (const node of window.app.canvas.graph._nodes) {
        for (const widget of node.widgets) if (typeof widget.value === "number") widget.value = 0.25;
    }
    window.app.canvas.emitBeforeChange();
    window.app.canvas.emitAfterChange();
}"""


def shown(editor) -> list[tuple[str, dict]]:
    """(node, its fields' values by name) for each node of the graph, as the page has them now."""
    return editor.nodes(
        "nodes.map((n) => [n.type, Object.fromEntries("
        "n.widgets.filter((w) => w.serialize !== false).map((w) => [w.name, w.value]))])"
    )


def notices(editor) -> list[str]:
    return [notice for notice in editor.told() if "HRV" in notice]


def titles(editor) -> str:
    """The names of the nodes with word buttons, as a notice lists them."""
    return ", ".join(editor.nodes("nodes.filter((n) => n.type !== 'HRVLens').map((n) => n.title)"))


def damaged(name: str) -> dict:
    """A fixture, under an id of its own: the page mixes up tabs whose graphs have the same one."""
    workflow = json.loads((DAMAGED / f"{name}.json").read_text("utf-8"))
    return {**workflow, "id": str(uuid.uuid4())}


def test_every_field_keeps_its_value(editor):
    all_values = [[kind, values] for kind, values in VALUES.items()]
    page = editor.page
    editor.clear_notices()
    page.evaluate(ADD, VALUES)
    page.wait_for_timeout(1000)
    assert shown(editor) == all_values

    saved = editor.saved()
    for node in saved["nodes"]:
        assert node["widgets_values"] == list(VALUES[node["type"]].values()), node["type"]
        assert node.get("widgets_values_named", VALUES[node["type"]]) == VALUES[node["type"]]
    for named in (True, False):  # as newer pages write it, and as older ones do
        for node in saved["nodes"]:
            node.pop("widgets_values_named", None)
            node |= {"widgets_values_named": VALUES[node["type"]]} if named else {}
        editor.load({**saved, "id": str(uuid.uuid4())})
        assert shown(editor) == all_values

    page.evaluate(CHANGE)
    page.wait_for_timeout(500)
    assert shown(editor) != all_values
    page.mouse.move(5, 500)
    page.keyboard.press("Control+z")
    page.wait_for_timeout(1500)
    assert shown(editor) == all_values, "undo"
    page.evaluate(COPY)
    page.wait_for_timeout(800)
    assert shown(editor) == all_values * 2, "copies"
    editor.empty()  # in a tab of its own
    editor.command("Workspace.PreviousOpenedWorkflow")
    page.wait_for_timeout(1500)
    assert shown(editor) == all_values * 2, "another tab and back"
    assert not notices(editor)
    if not editor.nodes2:  # the renderer has no part in it, and it takes its time
        editor.open()
        assert shown(editor) == all_values * 2, "the page loaded anew"


def test_a_damaged_file_is_put_right(editor):
    editor.clear_notices()
    editor.load(damaged("saved_once"))
    assert shown(editor) == [[kind, values] for kind, values in VALUES.items()]
    (told,) = notices(editor)
    assert "HRV: settings repaired" in told and titles(editor) in told
    saved = editor.saved()
    editor.clear_notices()
    editor.load({**saved, "id": str(uuid.uuid4())})
    assert shown(editor) == [[kind, values] for kind, values in VALUES.items()]
    assert not notices(editor), "the file is healthy now"


@pytest.mark.parametrize("name", ["saved_twice", "saved_on_1.47"])
def test_a_file_that_cannot_be_put_right_is_left_and_named(editor, name):
    file = damaged(name)
    editor.clear_notices()
    editor.load(file)
    found = dict(shown(editor))
    for node in file["nodes"]:  # as the page that saved it showed them
        wanted = list(node.get("widgets_values_named", {}).values()) or node["widgets_values"]
        for value, now in zip(
            wanted, found[node["type"]].values(), strict=False
        ):  # fields have been added since
            # a large text field makes text of everything
            assert now == value or now == json.dumps(value), (node["type"], found[node["type"]])
    (told,) = notices(editor)
    assert "HRV: settings in the wrong fields" in told and titles(editor) in told
    editor.clear_notices()
    editor.page.evaluate(CHANGE)
    editor.page.wait_for_timeout(500)
    editor.page.mouse.move(5, 500)
    editor.page.keyboard.press("Control+z")
    editor.page.wait_for_timeout(1500)
    assert not notices(editor), "said once, not at each undo"


# The rule that tells a damaged file from a healthy one, with fields of the page's kinds
FIELDS = """
    const fields = [["concept", "combo", "Animals"], ["words", "text", ""], ["strength", "number", 1], ["text", "customtext", ""],
        ["on", "toggle", false]].map(([name, type, value]) => ({ name, type, value }));
    const { closeGaps, mend } = await import("/extensions/ComfyUI-HRV/page/saved.js");
    const read = (saved) => [mend(saved, fields, "words"), fields.map((field) => field.value)];
    const named = { concept: "Color", words: "fish", strength: 2, text: "a fish", on: true };
"""
UNTOUCHED = ["Animals", "", 1, "", False]
WHOLE = ["Color", "fish", 2, "a fish", True]
RULES = {
    "whole, with names": ("read({ widgets_values: Object.values(named), widgets_values_named: named })", ["", UNTOUCHED]),
    "whole, without names": ("read({ widgets_values: Object.values(named) })", ["", UNTOUCHED]),
    "of an older version with fewer fields": ("read({ widgets_values: ['Color', 'fish', 2] })", ["", UNTOUCHED]),
    "fewer fields, with names": (
        "read({ widgets_values: ['Color', 'fish', 2], widgets_values_named: { concept: 'Color', words: 'fish', strength: 2 } })",
        ["", UNTOUCHED]),
    "changed by another program, which left the names": (
        "read({ widgets_values: ['Size', 'fish', 2, 'a fish', true], widgets_values_named: named })", ["", UNTOUCHED]),
    "cut short by another program": (
        "read({ widgets_values: ['Color', 'fish', 2, 'a fish'], widgets_values_named: named })", ["", UNTOUCHED]),
    "a choice that is no longer offered": ("read({ widgets_values: ['My own', 'fish', 2] })", ["", UNTOUCHED]),
    "no values": ("read({})", ["", UNTOUCHED]),
    "values by name only, as some packs write them": ("read({ widgets_values: { words: 'fish' } })", ["", UNTOUCHED]),
    "cut": ("read({ widgets_values: ['Color', 'fish', 'a fish', true], widgets_values_named: named })", ["mended", WHOLE]),
    "cut, without names": ("read({ widgets_values: ['Color', 'fish', 'a fish', true] })", ["wrong", UNTOUCHED]),
    "cut twice": (
        "read({ widgets_values: ['Color', 'fish', true, false],"
        " widgets_values_named: { ...named, strength: 'a fish', text: true, on: false } })",
        ["wrong", ["Color", "fish", "a fish", True, False]]),
    "gaps": (
        "[['a', , 2, , null].map((x) => x), undefined, { a: 1 }].map((widgets_values) => {"
        " const saved = { widgets_values }; closeGaps(saved); return saved.widgets_values ?? null; })",
        [["a", 2, None], None, {"a": 1}]),
}  # fmt: skip


@pytest.mark.parametrize("case", RULES)
def test_which_files_are_put_right(bare_page, case):
    expression, wanted = RULES[case]
    assert bare_page.evaluate(f"async () => {{ {FIELDS} return {expression}; }}") == wanted
