"""Word picking in ComfyUI's page: the connected prompt's words below a node's words field."""

import pytest
from editor import example
from graphs import FAKE, HINT, NEW_NODE, OPEN_SUBGRAPH, OUTSIDE, TO_SUBGRAPH, UNPACK, in_both_ways

HEATMAP = "HRVHeatmap"
NAMES = ["red", "star", "blue", "fish", "sand"]  # filler words are left out


def pick(editor, word: str) -> None:
    editor.page.locator(".hrv-word").get_by_text(word, exact=True).first.click()
    editor.page.wait_for_timeout(400)


def values(workflow: dict, node_type: str) -> list[list]:
    return [node["widgets_values"] for node in workflow["nodes"] if node["type"] == node_type]


def test_a_click_puts_a_word_in_or_takes_it_out(editor):
    editor.load(example("which_word_drew_what"))
    (before,) = values(editor.saved(), HEATMAP)
    editor.centre(HEATMAP)
    assert editor.offered(HEATMAP) == NAMES
    for word in ("fish", "sand", "red", "sand"):
        pick(editor, word)
    assert editor.widget(HEATMAP, "words") == "fish, red"
    saved = editor.saved()
    assert values(saved, HEATMAP) == [["fish, red", *before[1:]]], "nothing but the field has changed"
    editor.page.mouse.move(5, 500)
    for wanted in ("fish, sand, red", "fish, sand", "fish"):
        editor.page.keyboard.press("Control+z")
        editor.page.wait_for_timeout(1200)
        assert editor.widget(HEATMAP, "words") == wanted
        assert editor.page.locator(".hrv-word:visible").count() == len(NAMES), "the new picker is in the page"
    assert [word for word in editor.offered(HEATMAP) if word.endswith("*")] == ["fish*"]
    editor.load(saved)
    assert values(editor.saved(), HEATMAP) == [["fish, red", *before[1:]]]
    editor.page.evaluate("""() => {
        const canvas = window.app.canvas;
        canvas.selectItems([canvas.graph._nodes.find((n) => n.type === 'HRVHeatmap')]);
        canvas.copyToClipboard();
        canvas.pasteFromClipboard();
    }""")
    editor.page.wait_for_timeout(500)
    assert values(editor.saved(), HEATMAP) == [["fish, red", *before[1:]]] * 2
    prompt = editor.page.evaluate("async () => (await window.app.graphToPrompt()).output")
    asked = [node["inputs"] for node in prompt.values() if node["class_type"] == HEATMAP]
    assert all(i["words"] == "fish, red" and i["unit"] == "auto" and "word_picker" not in i for i in asked)
    editor.page.evaluate("() => window.app.graph.clear()")
    editor.page.wait_for_timeout(400)
    assert editor.page.locator(".hrv-word").count() == 0


@pytest.mark.parametrize(
    ("job", "kind", "field"), [("which_word_drew_what_transformer", "HRVAutoHeads", "word"), ("wrong_sense_adjusted", "HRVCompareConcepts", "word"), ("ordered_weakening", "HRVScaleHeads", "words")]
)  # fmt: skip
def test_other_nodes_offer_the_same(editor, job, kind, field):
    editor.load(example(job))
    had = editor.widget(kind, field)
    words = editor.offered(kind)
    assert f"{had}*" in words and len(words) >= 2
    other = next(word for word in words if not word.endswith("*"))
    picker = f"nodes.find((n) => n.type === '{kind}').widgets.find((w) => w.name === 'word_picker').element"
    click = f"""{picker}.querySelector('[data-name="{other}"]').click()"""
    editor.nodes(click)
    assert editor.widget(kind, field) == (other if field == "word" else f"{had}, {other}")
    editor.nodes(click)
    assert editor.widget(kind, field) == ("" if field == "word" else had)


def test_words_are_found_inside_subgraphs_and_out_of_them(editor):
    editor.load(example("which_word_drew_what"))
    editor.page.evaluate(TO_SUBGRAPH, ["Prompt", "KSampler", "Sampler"])
    editor.page.wait_for_timeout(500)
    assert editor.nodes("nodes.some((n) => n.subgraph)")
    assert editor.offered(HEATMAP) == NAMES
    editor.page.evaluate(UNPACK)
    editor.page.wait_for_timeout(500)
    editor.page.evaluate(TO_SUBGRAPH, [HEATMAP, "VAEDecode"])
    editor.page.wait_for_timeout(500)
    editor.page.evaluate(OPEN_SUBGRAPH)
    editor.page.wait_for_timeout(500)
    assert editor.offered(HEATMAP) == NAMES
    editor.page.evaluate(OUTSIDE)


def test_words_that_only_a_run_tells_are_offered_after_it(editor):
    workflow = example("which_word_drew_what", steps=1)
    editor.load(workflow)
    trim = ["StringTrim", {"string": "  a green star on sand "}, [["new", 0, "Prompt", "text"]]]
    editor.page.evaluate(NEW_NODE, trim)
    assert editor.offered(HEATMAP) == []
    assert "after a run" in editor.nodes(HINT)
    assert editor.run()["status"]["status_str"] == "success"
    assert editor.offered(HEATMAP) == ["green", "star", "sand"]


TEXTS = [
    "a (red:1.2) star's ((blue-eyed)) fish, 4k \\(sand\\) cat2 cat",
    "1girl, Long Hair, (red dress:0.8), standing  on sand, 8k uhd, red dress",
    "The quick   brown fox: it isn't here / there; A fox",
]


def test_the_words_offered_are_those_that_a_run_names(bare_page, server):
    """CLIP's real tokenizer and the pack against the page's own splitting, words and tags."""

    def node(kind: str, **inputs) -> dict:
        spec = server.get(f"/object_info/{kind}")[kind]["input"].get("required", {})
        options = {name: s[1] for name, s in spec.items() if len(s) > 1}
        return {"class_type": kind, "inputs": {k: o["default"] for k, o in options.items() if "default" in o} | inputs}  # fmt: skip

    graph = {
        "loader": node("HRVDemoCheckpoint"),
        "record": node("HRVRecordAttention", model=["loader", 0], clip=["loader", 1]),
        "empty": node("EmptyLatentImage", width=64, height=64, batch_size=1),
    }
    for i, text in enumerate(TEXTS):
        graph[f"text{i}"] = node("CLIPTextEncode", clip=["record", 1], text=text)
        graph[f"sampler{i}"] = node(
            "KSampler", model=["record", 0], positive=[f"text{i}", 0], negative=[f"text{i}", 0], latent_image=["empty", 0],
            sampler_name="euler", scheduler="normal", steps=1, seed=1, cfg=1.0,
        )  # fmt: skip
        for unit in ("auto", "words", "tags"):
            graph[f"{unit}{i}"] = node("HRVHeatmap", attention=["record", 2], latent=[f"sampler{i}", 0], unit=unit, caption=False)  # fmt: skip
    outputs = server.run(graph).outputs
    for i, text in enumerate(TEXTS):
        for unit in ("auto", "words", "tags"):
            found = bare_page.evaluate(
                "async ([text, unit]) => (await import('/extensions/ComfyUI-HRV/words/entries.js')).namesOf([text], unit)",
                [text, unit],
            )
            assert found == outputs[f"{unit}{i}"]["hrv_words"], (text, unit)


CASES = {
    "both sides": ("text(1, 'a'); text(2, 'b'); sampler(3, [1], [2]); return told(reader(3), 'negative')", [["b"], True]),
    "combine": (
        "text(1, 'a'); text(2, 'b'); node(3, 'ConditioningCombine', { c1: [C, 1], c2: [C, 2] }, { C });"
        "sampler(4, [3]); return told(reader(4))", [["a", "b"], True]),
    "both sides through one node": (
        "text(1, 'a'); text(2, 'b'); node(3, 'ControlNetApplyAdvanced', { positive: [C, 1], negative: [C, 2] },"
        "{ positive: C, negative: C }); sampler(4, [3, 0], [3, 1]); const r = reader(4); return [told(r), told(r, 'negative')]",
        [[["a"], True], [["b"], True]]),
    "bypassed": (
        "text(1, 'a'); node(2, 'ConditioningSetArea', { c: [C, 1] }, { C }, { note: 'no' }, 4); sampler(3, [2]);"
        "return told(reader(3))", [["a"], True]),
    "bypassed, both sides through one node": (
        "text(1, 'a'); text(2, 'b'); node(3, 'ControlNetApplyAdvanced', { positive: [C, 1], negative: [C, 2] },"
        "{ positive: C, negative: C }, {}, 4); sampler(4, [3, 0], [3, 1]); const r = reader(4);"
        "return [told(r), told(r, 'negative')]",
        [[["a"], True], [["b"], True]]),
    "bypassed, the input in another place": (
        "text(1, 'a'); node(2, 'SetArea', { area: ['INT'], c: [C, 1] }, { C }, {}, 4); sampler(3, [2]); return told(reader(3))",
        [["a"], True]),
    "muted": ("text(1, 'a', 2); sampler(3, [1]); return told(reader(3))", [[], True]),
    "reroute and latent nodes": (
        "text(1, 'a'); node(2, 'Reroute', { '': ['*', 1] }, { '': '*' }); sampler(3, [2]);"
        "node(4, 'LatentUpscale', { samples: ['LATENT', 3] }, { L: 'LATENT' }); return told(reader(4))", [["a"], True]),
    "guider": (
        "text(1, 'a'); text(2, 'b'); node(3, 'CFGGuider', { positive: [C, 1], negative: [C, 2] }, { GUIDER: 'GUIDER' });"
        "node(4, 'SamplerCustomAdvanced', { guider: ['GUIDER', 3] }, { out: 'LATENT' }); return told(reader(4))", [["a"], True]),
    "text from other nodes": (
        "node(1, 'PrimitiveStringMultiline', {}, { S: 'STRING' }, { value: 'red' });"
        "node(2, 'StringConcatenate', { string_a: ['STRING', 1] }, { S: 'STRING' }, { string_a: '', string_b: 'fish', delimiter: ', ' });"
        "node(3, 'CLIPTextEncode', { text: ['STRING', 2] }, { C }, { text: 'old' }); sampler(4, [3]); return told(reader(4))",
        [["red, fish"], True]),
    "text that only a run tells": (
        "node(1, 'AskModel', {}, { S: 'STRING' }, { question: 'which prompt?' });"
        "node(3, 'CLIPTextEncode', { text: ['STRING', 1] }, { C }, { text: 'old' }); sampler(4, [3]); return told(reader(4))", [[], False]),
    "a saved recording": ("node(1, 'HRVLoadAttention', {}, { latent: 'LATENT' }); return told(reader(1))", [[], False]),
    "steering": (
        "const s = node(1, 'HRVScaleHeads', {}, { model: 'MODEL' }); node(2, 'LoraLoader', { model: ['MODEL', 1] }, { MODEL: 'MODEL' });"
        "text(3, 'a'); node(4, 'KSampler', { model: ['MODEL', 2], positive: [C, 3] }, { L: 'LATENT' }); return told(s)", [["a"], True]),
    "a circle": (
        "node(1, 'Combine', { a: [C] }, { C }); node(2, 'Combine', { a: [C, 1] }, { C });"
        "graph.links.set(50, { origin_id: 2, origin_slot: 0, target_id: 1, target_slot: 0 }); graph.nodes.get(1).inputs[0].link = 50;"
        "sampler(3, [1]); return told(reader(3))", [[], True]),
}  # fmt: skip


@in_both_ways(CASES)
def test_the_way_from_a_node_to_its_prompt(bare_page, case, older):
    script, wanted = CASES[case]
    assert bare_page.evaluate(f"async (older) => {{ {FAKE} {script} }}", older) == wanted
