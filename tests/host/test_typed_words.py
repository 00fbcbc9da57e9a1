"""What was typed is what is read: words and tags of real prompts, through ComfyUI's own tokenizer (cases A1 to A5)."""

import json
import re
import time
from pathlib import Path

import models
import pytest
import rig
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrv_pack.host.text.clip_trace import TextRegistry, trace
from hrv_pack.hrv.prompt import WordNotFound
from hrv_pack.hrv.prompt.typed_text import parse

EXAMPLES = json.loads((Path(__file__).parents[1] / "data" / "typed_prompts.json").read_text("utf-8"))
VECTORS = {"bad_pictures": 3, "easynegative": 1, "lazypos": 2, "zPDXL(v2)": 5, "twelve": 12}
TAGS = (
    r"1girl, solo, hatsune miku \(cosplay\), long hair, tracer_\(overwatch\), blue eyes, snakebite \(piercing\), smile, :d, "
    "><_, ^_^, night sky"
).replace("><_", ">_<")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A small CLIP that knows some textual inversions."""
    folder = tmp_path_factory.mktemp("embeddings")
    for name, vectors in VECTORS.items():
        vector = torch.randn(vectors, rig.WIDTH["sdxl"])
        safetensors.torch.save_file({"emb_params": vector}, folder / f"{name}.safetensors")
    clip = models.random_clip(rig.WIDTH["sdxl"])
    clip.tokenizer.clip_l.embedding_directory = [str(folder)]
    return clip


@pytest.fixture(scope="module")
def read(clip):
    """A text as the registry knows it once it was tokenized."""
    registry = TextRegistry()
    traced = trace(clip, registry)
    return lambda text: registry.prompt(traced.tokenize(text))


def names(prompt, unit="auto"):
    return [name for name, _ in prompt.listed(unit)]


def without_spaces_and_commas(text: str) -> str:
    return re.sub(r"[\s,，、､،]+", "", text)


def check(prompt, typed: str) -> None:
    """Every listed name finds its own entry and nothing else; the tags are the typed text; every column with content belongs to
    one word."""
    for unit in ("words", "tags", "auto"):
        for name, word in prompt.listed(unit):
            assert set(prompt.find(name, unit).columns) == set(word.columns), (typed, unit, name)
    text = parse(typed)
    shown = ", ".join(tag.text for tag in prompt.tags())
    assert without_spaces_and_commas(shown) == without_spaces_and_commas(text.clean), typed
    owned = [column for word in prompt.words() for column in word.columns]
    content = {
        token.column
        for token in prompt.tokens
        if token.kind == "embedding"
        or (token.place is not None and any(c in "ace" for c in text.classes[slice(*token.place)]))
    }
    assert len(owned) == len(set(owned)) and content <= set(owned), typed


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: ascii(example["typed"])[:40])
def test_examples(read, example):
    prompt = read(example["typed"])
    assert names(prompt, "words") == example["words"]
    assert names(prompt, "tags") == example["tags"]
    assert names(prompt) == example[example["unit"]]
    check(prompt, example["typed"])


PARTS = st.sampled_from(
    [*"abz019 ,:;_-'\"/\\()[]{}<>|#.!", "cat", "red ", "1girl", r"\(", r"\)", ":1.2)", ", ", "\n", "，", "、", "，", "猫", "ネコ", "é", "e\u0301",
     "😀", "\u200c", "ﬁ", "embedding:lazypos ", " embedding:twelve ", "很长的一句话", "ไทย", "עולם", "x" * 20]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(PARTS, max_size=60).map("".join))
def test_any_text(read, typed):
    check(read(typed), typed)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_any_characters(read, typed):
    prompt = read(typed)
    for unit in ("words", "tags"):
        for name, word in prompt.listed(unit):
            assert set(prompt.find(name, unit).columns) == set(word.columns), (typed, unit, name)


def test_escaped_tags_are_found_as_listed_and_as_typed(read):
    """Case A1."""
    prompt = read(TAGS)
    assert (
        names(prompt) == [tag.strip().replace("\\", "") for tag in TAGS.split(",")]
        and len(names(prompt)) == 12
    )
    for typed, shown in zip(TAGS.split(","), names(prompt), strict=True):
        assert prompt.find(typed).columns == prompt.find(shown).columns


@pytest.mark.parametrize(
    "name, words",
    [("(red star:1.3)", "red star"), ("((blue fish))", "blue fish"), ("a (big:0.8) cat", "a big cat"), ("(masterpiece:1.2)", "masterpiece"),
     ("(red star", "red star"), ("RED_STAR", "red star"), ("blue-fish", "blue fish")],
)  # fmt: skip
def test_names_copied_with_weights(read, name, words):
    """Case A2."""
    prompt = read("(masterpiece:1.2), best quality, (red star:1.3), ((blue fish)), a (big:0.8) cat, sand")
    assert prompt.find(name).columns == prompt.find(words).columns


def test_embeddings_are_one_entry_each(read):
    """Case A3."""
    prompt = read("embedding:bad_pictures,(embedding:easynegative:1),embedding:lazypos")
    assert names(prompt) == ["embedding:bad_pictures", "embedding:easynegative", "embedding:lazypos"]
    assert [len(w.columns) for w in prompt.words()] == [
        3,
        1,
        5,
    ]  # ComfyUI takes the last for text: no space before it
    assert names(read(r"embedding:zPDXL\(v2\)")) == ["embedding:zPDXL(v2)"]
    assert read(r"embedding:zPDXL\(v2\)").find(r"embedding:zPDXL\(v2\)").columns == (1, 2, 3, 4, 5)
    lines = read("a cat\nembedding:lazypos\nsky")
    assert [(w.text, w.columns) for w in lines.tags()] == [
        ("a cat", (1, 2)),
        ("embedding:lazypos", (3, 4)),
        ("sky", (5,)),
    ]


@pytest.mark.parametrize("words", range(60, 76))
def test_an_embedding_at_the_border_of_a_chunk(read, words):
    """Case A3: ComfyUI keeps short ones together and cuts long ones."""
    prompt = read("word " * words + "embedding:twelve, cat")
    (entry,) = [w for w in prompt.words() if w.text == "embedding:twelve"]
    assert len(entry.columns) == 12 and prompt.find("embedding:twelve").columns == entry.columns
    assert len(prompt.find("cat").columns) == 1


@pytest.mark.parametrize("words", range(55, 69))
def test_words_that_the_border_of_a_chunk_cuts(read, words):
    """Case A4."""
    prompt = read(
        f"masterpiece, best quality, a red star and a blue fish on sand, {'very ' * words}, twintails, flashlight, night sky"
    )
    assert names(prompt, "tags")[-3:] == ["twintails", "flashlight", "night sky"]
    pieces = [
        [prompt.tokens[c].piece for c in prompt.find(name).columns] for name in ("twintails", "flashlight")
    ]
    assert pieces == [["twin", "tails</w>"], ["flashlight</w>"]]


def test_a_kanji_that_the_border_of_a_chunk_cuts(read):
    """Case A4: a Japanese sentence longer than 75 tokens."""
    typed = "美しい夕焼けの空の下で赤い髪の少女が笑っている背景には雪をかぶった山々と古い城が見える空には大きな月が輝いている"
    for before in range(12):
        prompt = read("x" * before + typed)
        (word,) = prompt.words()
        assert word.text == "x" * before + typed and len(word.columns) > 75
        check(prompt, "x" * before + typed)
        for part in ("少女", "山々", "月", "輝"):
            assert prompt.find(part).columns


@pytest.mark.parametrize(
    "typed, tags",
    [
        ("1girl，长发，红色连衣裙，微笑，蓝天", ["1girl", "长发", "红色连衣裙", "微笑", "蓝天"]),
        ("1girl、長い髪、赤いドレス", ["1girl", "長い髪", "赤いドレス"]),
        ("فتاة، شعر طويل", ["فتاة", "شعر طويل"]),
    ],
)
def test_commas_of_other_keyboards(read, typed, tags):
    """Case A5."""
    assert names(read(typed), "tags") == tags


@pytest.mark.parametrize(
    "typed, asked",
    [
        ("caf\u00e9", "cafe\u0301"),
        ("cafe\u0301", "caf\u00e9"),
        ("ｒｅｄ　ｓｔａｒ", "red star"),
        ("red star", "ＲＥＤ star"),
    ],
)
def test_unicode_forms_are_equal(read, typed, asked):
    """Case A5."""
    assert read(typed).find(asked).columns == read(typed).find(typed).columns


@pytest.mark.parametrize(
    "typed, asked, columns",
    [("t-shirt", "shirt", (3,)), ("1girl", "girl", (2,)), ("score_8_up", "8", (3,)), ("twintails", "twin", (1,)), ("blue_eyes", "eyes", (3,))],
)  # fmt: skip
def test_a_part_of_a_word_may_be_asked_for(read, typed, asked, columns):
    assert read(typed).find(asked).columns == columns


def test_where_entries_are_tags_a_whole_tag_goes_before_its_words_elsewhere(read):
    prompt = read("long hair, very long hair, dress, red dress")
    assert names(prompt) == ["long hair", "very long hair", "dress", "red dress"]
    assert prompt.find("dress").columns == prompt.tags()[2].columns
    assert len(prompt.find("dress", "words").columns) == 2  # asked for as a word: wherever it stands


def test_an_embedding_without_a_file_is_said_to_be_missing(read):
    with pytest.raises(WordNotFound, match="found no embedding file of that name"):
        read("a cat, embedding:nowhere, sky").find("embedding:nowhere")


def test_the_nearest_word_is_a_near_one(read):
    with pytest.raises(WordNotFound) as error:
        read("a red star and a blue fish on sand").find("dragon")
    assert "Did you mean" not in str(error.value)
    with pytest.raises(WordNotFound, match="Did you mean “star”"):
        read("a red star and a blue fish on sand").find("staar")


def test_ten_thousand_characters_are_read_in_bounded_time(read, clip):
    """`dev.py bench --only words` measures; this only keeps it from growing with the square."""
    typed = (
        "a very long prompt with hatsune miku \\(cosplay\\), (blue eyes:1.2), t-shirt, score_8_up, night sky "
        * 120
    )[:10_000]
    started = time.perf_counter()
    prompt = read(typed)
    names(prompt, "words"), names(prompt, "tags")
    assert time.perf_counter() - started < 3
    check(prompt, typed)
