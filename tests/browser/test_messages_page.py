"""What the pack's nodes say in ComfyUI's page: errors, warnings and notes, in the node itself, and never in the saved graph."""

import pytest
from editor import example
from graphs import FAKE, HINT, NEW_NODE, OPEN_SUBGRAPH, OUTSIDE, TO_SUBGRAPH, UNPACK, in_both_ways

HEATMAP, RECORD = "HRVHeatmap", "HRVRecordAttention"
UNKNOWN = "“dragon” is not in the prompt."
NO_CLIP = "CLIP is not connected, so the words will not be known."
TOLD = """type => [...document.querySelectorAll('.hrv-message')].filter((e) => {
    const node = window.app.canvas.graph._nodes.find((n) => n.type === type);
    return node?.widgets.some((w) => w.element?.contains(e));
}).map((e) => [[...e.classList].find((c) => c !== 'hrv-message').slice(4), e.querySelector('.hrv-told').textContent])"""
CONNECT = """([from, slot, to, name]) => {
    const nodes = window.app.canvas.graph._nodes;
    const at = (which) => nodes.find((n) => n.title === which || n.type === which);
    const index = at(to).inputs.findIndex((i) => i.name === name);
    if (from) at(from).connect(slot, at(to), index);
    else at(to).disconnectInput(index);
    window.app.canvas.emitBeforeChange();
    window.app.canvas.emitAfterChange();
}"""
SET = """([type, name, value]) => {
    const widget = window.app.canvas.graph._nodes.find((n) => n.type === type || n.title === type).widgets.find((w) => w.name === name);
    widget.value = value;
    widget.callback?.(value);
    window.app.canvas.emitBeforeChange();
    window.app.canvas.emitAfterChange();
}"""


def told(editor, node_type: str = HEATMAP) -> list[list[str]]:
    """[kind, text] of everything that the node shows."""
    editor.page.wait_for_timeout(700)
    return editor.page.evaluate(TOLD, node_type)


def set_field(editor, node_type: str, name: str, value) -> None:
    editor.page.evaluate(SET, [node_type, name, value])


def connect(editor, *link) -> None:
    editor.page.evaluate(CONNECT, list(link))


def asked_for(words: str) -> dict:
    """The first example, which asks for these words."""
    workflow = example("which_word_drew_what", steps=1)
    next(n for n in workflow["nodes"] if n["type"] == HEATMAP)["widgets_values"][0] = words
    return workflow


def test_an_error_is_in_the_node_until_it_runs_again_and_never_in_the_file(editor):
    editor.load(asked_for("dragon"))
    assert told(editor) == [["note", UNKNOWN]]
    before = editor.saved()
    (plain,) = [n for n in asked_for("dragon")["nodes"] if n["type"] == HEATMAP]
    (saved,) = [n for n in before["nodes"] if n["type"] == HEATMAP]
    assert saved["widgets_values"][: len(plain["widgets_values"])] == plain["widgets_values"]
    assert editor.run()["status"]["status_str"] == "error"
    ((kind, text),) = told(editor)
    assert (
        kind == "error" and text.startswith(UNKNOWN) and not {"hrv", "Error", "Traceback"} & set(text.split())
    )
    assert editor.saved() == before, "what a node says is no part of the graph, nor is its height"
    editor.load(editor.saved())
    assert editor.saved()["nodes"] == before["nodes"], "nor does a node grow with each time that it is opened"
    assert told(editor) == [[kind, text]]
    set_field(editor, HEATMAP, "words", "fish")
    assert editor.run()["status"]["status_str"] == "success"
    assert told(editor) == []
    height = editor.nodes(f"nodes.find((n) => n.type === '{HEATMAP}').size[1]")
    assert height == pytest.approx(plain["size"][1], abs=2), "the node has the height that it had"


def test_a_warning_stays_when_the_tab_comes_back(editor):
    editor.load(asked_for("fish"))
    changed = [
        "LatentMultiply",
        {"multiplier": 1.01},
        [["KSampler", 0, "new", "samples"], ["new", 0, HEATMAP, "latent"]],
    ]
    editor.page.evaluate(NEW_NODE, changed)
    assert told(editor) == []
    before = editor.saved()
    assert editor.run()["status"]["status_str"] == "success"
    ((kind, text),) = told(editor)
    assert kind == "warning" and "latent" in text
    for was, now in zip(before["nodes"], editor.saved()["nodes"], strict=True):
        assert was["size"] == pytest.approx(now["size"], abs=5)  # Nodes 2.0 measures what the images take
        assert {**was, "size": None, "order": None} == {**now, "size": None, "order": None}
    editor.load(example("look_into_the_image", steps=1))
    editor.command("Workspace.PreviousOpenedWorkflow")
    editor.page.wait_for_timeout(1500)
    assert told(editor) == [[kind, text]]
    assert editor.page.locator(".hrv-message:visible").count() == 1
    connect(editor, "KSampler", 0, HEATMAP, "latent")
    assert editor.run()["status"]["status_str"] == "success"
    assert told(editor) == []


def test_messages_are_read_copied_and_scrolled(editor):
    editor.load(asked_for(", ".join(f"dragon number {i}" for i in range(40))))
    editor.centre(HEATMAP)
    ((kind, text),) = told(editor)
    assert kind == "note" and "dragon number 39" in text
    box = editor.page.locator(".hrv-messages")
    size = box.evaluate("e => [e.clientHeight, e.scrollHeight, e.scrollWidth - e.clientWidth]")
    assert size[0] <= 112 < size[1] and size[2] <= 0, "six lines, the rest scrolls, and lines wrap"
    letters = box.locator(".hrv-message").evaluate("e => parseFloat(getComputedStyle(e).fontSize)")
    assert letters >= 12
    scale = editor.nodes("window.app.canvas.ds.scale")
    box.click()  # Nodes 2.0 zooms until the area has the focus
    editor.page.mouse.wheel(0, 60)
    editor.page.wait_for_timeout(400)
    assert box.evaluate("e => e.scrollTop") > 0 and editor.nodes("window.app.canvas.ds.scale") == scale
    place = editor.nodes(f"[...nodes.find((n) => n.type === '{HEATMAP}').pos]")
    corner = box.bounding_box()
    editor.page.mouse.move(corner["x"] + 40, corner["y"] + 20)
    editor.page.mouse.down()
    editor.page.mouse.move(corner["x"] + 160, corner["y"] + 60, steps=5)
    editor.page.mouse.up()
    selected = editor.page.evaluate("() => String(window.getSelection())")
    assert "dragon number" in selected
    assert editor.nodes(f"[...nodes.find((n) => n.type === '{HEATMAP}').pos]") == place, "the node stays"
    copied = """() => new Promise((resolve) => {
        document.addEventListener('copy', (event) => setTimeout(() => resolve(event.defaultPrevented)), { once: true });
        setTimeout(() => resolve('no copy event'), 3000);
    })"""
    editor.page.evaluate("copied => { window.copiedBy = eval(copied)(); }", copied)
    editor.page.keyboard.press("Control+c")
    assert editor.page.evaluate("() => window.copiedBy") is False, (
        "the browser copies the text; the page copies no node"
    )


def test_inside_a_subgraph(editor):
    editor.load(asked_for("dragon"))
    editor.page.evaluate(TO_SUBGRAPH, [HEATMAP, "VAEDecode"])
    editor.page.wait_for_timeout(500)
    assert editor.run()["status"]["status_str"] == "error"
    editor.page.evaluate(OPEN_SUBGRAPH)
    editor.page.wait_for_timeout(800)
    ((kind, text),) = told(editor)
    assert kind == "error" and text.startswith(UNKNOWN)
    set_field(editor, HEATMAP, "words", "fish")
    editor.page.evaluate(OUTSIDE)
    assert editor.run()["status"]["status_str"] == "success"
    editor.page.evaluate(OPEN_SUBGRAPH)
    assert told(editor) == []
    editor.page.evaluate(OUTSIDE)
    editor.page.evaluate(UNPACK)


def test_a_steering_node_is_told_what_the_sampling_warned_of(editor):
    workflow = example("excite_a_missing_thing", steps=2)
    for node in workflow["nodes"]:
        if node["type"] == HEATMAP:
            node["widgets_values"][0] = ""
    editor.load(workflow)
    trim = ["StringTrim", {"string": "a red fish"}, [["new", 0, "Prompt", "text"]]]
    editor.page.evaluate(NEW_NODE, trim)  # what it gives is only known in a run
    set_field(editor, "HRVAttendExcite", "words", "dragon")
    assert told(editor, "HRVAttendExcite") == []
    assert editor.run()["status"]["status_str"] == "success"
    ((kind, text),) = told(editor, "HRVAttendExcite")
    assert kind == "warning" and "“dragon” is not in the prompt" in text
    set_field(editor, "HRVAttendExcite", "words", "fish")
    assert editor.run()["status"]["status_str"] == "success"
    assert told(editor, "HRVAttendExcite") == []


def test_a_missing_clip_is_seen_before_the_run(editor):
    editor.load(example("which_word_drew_what", steps=1))
    assert told(editor, RECORD) == []
    connect(editor, None, 0, RECORD, "clip")
    ((kind, text),) = told(editor, RECORD)
    assert kind == "note" and text.startswith(NO_CLIP)
    connect(editor, "HRVDemoCheckpoint", 1, RECORD, "clip")
    connect(editor, "HRVDemoCheckpoint", 1, "Prompt", "clip")
    assert told(editor, RECORD) == [
        ["note", "The CLIP of the text node “Prompt” does not come from this node, so its words will not be known. "
         "Connect this node's clip output to it."]
    ]  # fmt: skip
    connect(editor, RECORD, 1, "Prompt", "clip")
    assert told(editor, RECORD) == []


def test_an_empty_prompt_is_called_empty(editor):
    editor.load(example("look_into_the_image", steps=1))
    set_field(editor, "Prompt", "text", " \n")
    assert ["note", "The prompt is empty."] in told(editor, "HRVLens")
    editor.load(example("which_word_drew_what", steps=1))
    set_field(editor, "Prompt", "text", "")
    assert editor.offered(HEATMAP) == [] and told(editor) == []
    assert editor.nodes(HINT) == "The prompt is empty."


def test_prompt_text_takes_one_line_while_it_is_empty(editor):
    editor.load(example("which_word_drew_what", steps=1))
    editor.centre(HEATMAP)  # what lies outside of the window is hidden
    field = editor.page.locator("textarea[placeholder*='Record Attention']")
    if field.count():  # in Nodes 2.0 it is behind a button
        assert 0 < field.evaluate("e => e.offsetHeight") <= 30
        set_field(editor, HEATMAP, "prompt_text", "a red star")
        editor.nodes("window.app.canvas.draw(true, true)")
        editor.page.wait_for_timeout(500)
        assert 40 < field.evaluate("e => e.offsetHeight") <= 90


# Before a run, by the graph alone: node(id, type, inputs, outputs, fields)
BEFORE = (
    FAKE
    + """
    globalThis.LiteGraph = { registered_node_types: { HRVRecordAttention: { title: "Record Attention" } } };
    const { knownBefore } = await import("/extensions/ComfyUI-HRV/messages/before.js");
    const { fieldsOf } = await import("/extensions/ComfyUI-HRV/page/node.js");
    const known = (...nodes) => { newer(); return nodes.flatMap((node) => knownBefore(node, (other) => fieldsOf(other, {}), graph)).map(({ text }) => text); };
    const loader = () => node(1, "CheckpointLoaderSimple", {}, { MODEL: "MODEL", CLIP: "CLIP" });
    const record = (clip, negative = false) => node(2, "HRVRecordAttention", { model: ["MODEL", 1], clip: clip ? ["CLIP", 1, 1] : ["CLIP"] },
        { MODEL: "MODEL", CLIP: "CLIP", attention: "HRV_ATTENTION" }, { negative });
    const encode = (id, value, from, slot = 1, type = "CLIPTextEncode") => {
        const made = node(id, type, { clip: ["CLIP", from, slot] }, { CONDITIONING: "CONDITIONING" }, { text: value });
        made.title = `text ${id}`;
        return made;
    };
    const draw = (id, positive, negative, from = 2) => node(id, "KSampler", { model: ["MODEL", from], positive: [C, positive], negative: [C, negative] }, { LATENT: "LATENT" });
    const heat = (fields, from = 5) => node(9, "HRVHeatmap", { latent: ["LATENT", from], attention: ["HRV_ATTENTION", 2, 2] }, {}, { role: "positive", prompt_text: "", ...fields });
"""
)
NOT_HERE = (
    "The CLIP of the text node “text 3” does not come from this node, so its words will not be known. Connect this node's clip "
    "output to it."
)
NO_CLIP_HERE = f"{NO_CLIP} Connect the loader's CLIP here and this node's clip output to your text nodes."
OFF = "The negative prompt is not recorded. Switch `negative` on in Record Attention."
KNOWN = {
    "all is well": ("loader(); const r = record(1); encode(3, 'a cat', 2); encode(4, '', 2); draw(5, 3, 4); return known(r, heat({ words: 'cat' }))", []),
    "no clip": ("loader(); const r = record(0); encode(3, 'a cat', 1); encode(4, '', 1); draw(5, 3, 4); return known(r)", [NO_CLIP_HERE]),
    "no clip, and text nodes hang on the output that has none": (
        "loader(); const r = record(0); encode(3, 'a cat', 2); encode(4, '', 2); draw(5, 3, 4); return known(r)", [NO_CLIP_HERE]),
    "nothing connected yet": ("const r = node(2, 'HRVRecordAttention', { model: ['MODEL'], clip: ['CLIP'] }, { MODEL: 'MODEL' }); return known(r)", []),
    "muted": ("loader(); const r = record(0); r.mode = 2; return known(r)", []),
    "a steering node notes the words": (
        "loader(); const r = record(0); node(6, 'HRVScaleHeads', { model: ['MODEL', 2], clip: ['CLIP', 1, 1] }, { MODEL: 'MODEL', CLIP: 'CLIP' }, { words: 'cat' });"
        "encode(3, 'a cat', 6); encode(4, '', 6); draw(5, 3, 4, 6); return known(r, graph.nodes.get(6))", []),
    "text nodes pass by": ("loader(); const r = record(1); encode(3, 'a cat', 1); encode(4, '', 2); draw(5, 3, 4); return known(r)", [NOT_HERE]),
    "the negative text node may": ("loader(); const r = record(1); encode(3, 'a cat', 2); encode(4, '', 1); draw(5, 3, 4); return known(r)", []),
    "through a LoRA": (
        "loader(); const r = record(1); node(6, 'LoraLoader', { model: ['MODEL', 2], clip: ['CLIP', 2, 1] }, { MODEL: 'MODEL', CLIP: 'CLIP' });"
        "encode(3, 'a cat', 6); encode(4, '', 6); draw(5, 3, 4, 6); return known(r)", []),
    "from a pipe that the page cannot follow": (
        "loader(); const r = record(1); node(6, 'ToPipe', { clip: ['CLIP', 2, 1] }, { PIPE: 'PIPE' }); node(7, 'FromPipe', { pipe: ['PIPE', 6] }, { CLIP: 'CLIP' });"
        "encode(3, 'a cat', 7, 0); encode(4, '', 7, 0); draw(5, 3, 4); return known(r)", []),
    "words that are not there": (
        "loader(); record(1); encode(3, 'a Red cat, blue_eyes', 2); encode(4, '', 2); draw(5, 3, 4);"
        "return known(heat({ words: 'red cat, dragon, cat#1, blue eyes, elf' }))", ["“dragon” and “elf” are not in the prompt."]),
    "of another node": (
        "loader(); record(1); encode(3, 'a cat', 2); encode(4, '', 2); draw(5, 3, 4); node(8, 'StringTrim', {}, { S: 'STRING' });"
        "return known(node(9, 'HRVHeatmap', { latent: ['LATENT', 5], words: ['STRING', 8] }, {}, { words: 'dragon', role: 'positive' }))", []),
    "of the negative prompt": (
        "loader(); record(1, true); encode(3, 'a cat', 2); encode(4, 'ugly', 2); draw(5, 3, 4);"
        "return known(heat({ words: 'cat', role: 'negative' }))", ["“cat” is not in the negative prompt."]),
    "the negative prompt is not recorded": (
        "loader(); record(1); encode(3, 'a cat', 2); encode(4, 'ugly', 2); draw(5, 3, 4);"
        "return known(heat({ words: 'ugly', role: 'negative' }))", [OFF]),
    "typed into prompt_text": (
        "loader(); record(1); encode(3, 'a cat', 2); encode(4, '', 2); draw(5, 3, 4); return known(heat({ words: 'dog', prompt_text: 'a dog' }))", []),
    "a text node that may rewrite its text": (
        "loader(); record(1); encode(3, '__animal__', 2, 1, 'WildcardEncode'); encode(4, '', 2); draw(5, 3, 4); return known(heat({ words: 'dog' }))", []),
    "a choice that the page makes when it queues": (
        "loader(); record(1); encode(3, 'a {cat|dog}', 2); encode(4, '', 2); draw(5, 3, 4); return known(heat({ words: 'bird' }))", []),
    "a phrase with a comma": (
        "loader(); record(1); encode(3, 'a cat, red', 2); encode(4, '', 2); draw(5, 3, 4);"
        "return known(node(9, 'HRVAutoHeads', { latent: ['LATENT', 5] }, {}, { word: 'cat, red' }))", []),
    "Edit Prompt without vectors has no use for words": (
        "loader(); const e = node(6, 'HRVPromptEdit', { model: ['MODEL', 1], vectors: ['HRV_VECTORS'] }, { MODEL: 'MODEL' }, { words: 'dragon' });"
        "encode(3, 'a cat', 1); encode(4, '', 1); draw(5, 3, 4, 6); return known(e)", []),
}  # fmt: skip


@in_both_ways(KNOWN)
def test_what_is_known_before_a_run(bare_page, case, older):
    script, wanted = KNOWN[case]
    assert bare_page.evaluate(f"async (older) => {{ {BEFORE} {script} }}", older) == wanted
