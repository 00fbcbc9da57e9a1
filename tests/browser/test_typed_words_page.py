"""The page's grammar of typed prompts gives what the nodes give (tests/data/typed_prompts.json; the other side: tests/host)."""

import json

from devtools.server import ROOT
from hrv_pack.hrv.prompt.fillers import FILLERS

EXAMPLES = json.loads((ROOT / "tests" / "data" / "typed_prompts.json").read_text("utf-8"))
MODULE = "(await import('/extensions/ComfyUI-HRV/words/{}.js'))"


def call(editor, module: str, expression: str, argument=None):
    return editor.page.evaluate(
        f"async (given) => {{ const words = {MODULE.format(module)}; return {expression}; }}", argument
    )


def test_examples(editor):
    for unit in ("words", "tags"):
        named = f"given.map((text) => words.namesOf([text], '{unit}', {{ fillers: true }}))"
        found = call(editor, "entries", named, [example["typed"] for example in EXAMPLES])
        for example, names in zip(EXAMPLES, found, strict=True):
            assert names == example[unit][:300], example["typed"]
    chosen = call(
        editor,
        "entries",
        "given.map((text) => words.namesOf([text], 'auto', { fillers: true }))",
        [e["typed"] for e in EXAMPLES],
    )
    assert chosen == [example[example["unit"]][:300] for example in EXAMPLES]


def test_filler_words_are_the_same_and_left_out(editor):
    assert set(call(editor, "fillers", "[...words.FILLERS]")) == FILLERS
    assert call(editor, "entries", "words.namesOf(given, 'words')", ["a cat and the dog"]) == ["cat", "dog"]
    assert call(editor, "entries", "words.namesOf(given, 'words')", ["the"]) == ["the"]


def test_what_is_not_in_the_prompt(editor):
    field = "cat, (red star:1.3), dragon, dog#2, cat#2, shirt, hatsune_miku, 猫"
    texts = ["a cat, red star, dog, t-shirt", r"hatsune miku \(cosplay\), cat, 黒猫"]
    assert call(editor, "entries", "words.missingNames(given[0], given[1])", [field, texts]) == [
        "dragon",
        "dog#2",
        "cat#2",
    ]


def test_comments_are_taken_out_as_the_page_does(editor):
    assert call(
        editor, "entries", "words.namesOf(given, 'tags')", ["red star, /* not this, */ sand // nor this"]
    ) == ["red star", "sand"]


def test_ten_thousand_characters_take_a_moment(editor):
    took = call(editor, "entries", "(() => { const t = performance.now(); words.namesOf(given, 'auto'); return performance.now() - t; })()",
                ["a very long prompt with (blue eyes:1.2), t-shirt, score_8_up, night sky " * 140])  # fmt: skip
    assert took < 400
