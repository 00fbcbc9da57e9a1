"""Texts that reach the sampler on other ways than one text through CLIPTextEncode (cases C1, C2, D4, D5, D8)."""

import nodes
import pytest
import rig
import steering_rig as steered
import torch
from comfy_extras import nodes_clip_sdxl

from hrv_pack.host.facts.layers import layout_of
from hrv_pack.host.follow.editor import EditOptions, edit
from hrv_pack.host.follow.recorder import RecordOptions, attach
from hrv_pack.host.follow.rememberer import remember
from hrv_pack.host.store.demo_checkpoint import load
from hrv_pack.host.text.clip_trace import tokenize_text
from hrv_pack.hrv.look.heatmap import Style, heatmaps
from hrv_pack.hrv.maps.lookup import names_of, notes_of

LATENT = {"samples": torch.zeros(1, 4, 32, 32)}
PLAIN = Style(caption=False)


@pytest.fixture(scope="module")
def demo():
    return load()


def recorded(demo, **options):
    model, clip, _ = demo
    return attach(model, clip, RecordOptions(**options))


def encode_both(clip, g: str, l: str):  # noqa: E741
    """CLIPTextEncodeSDXL."""
    with torch.inference_mode():
        out = nodes_clip_sdxl.CLIPTextEncodeSDXL.execute(clip, 256, 256, 0, 0, 256, 256, g, l)
    return out.result[0]


def encode_below(clip, text: str, **how):
    """As ADV_CLIP_emb and its kind: tokens of the traced CLIP, encoded by the text model itself."""
    with torch.inference_mode():
        tokens = clip.tokenize(text, **how)
        plain = {name: [[t[:2] for t in chunk] for chunk in chunks] for name, chunks in tokens.items()}
        embedding, pooled = clip.cond_stage_model.encode_token_weights(plain)[:2]
    return [[embedding, {"pooled_output": pooled}]]


def sample(model, positive, negative, seed=1):
    return rig.sample(model, positive, negative, LATENT, seed=seed, steps=2, cfg=4.0)


def read(recording, latent, words="", **more):
    return heatmaps(recording, latent, words, style=PLAIN, tokenize=tokenize_text, **more)


# Two texts


@pytest.mark.way("Two texts of SDXL (CLIPTextEncodeSDXL, prompt-control's TE)")
def test_both_texts_of_sdxl_are_read(demo):
    """Case C2: the scene in one text, quality in the other."""
    model, clip, recording = recorded(demo)
    positive = encode_both(clip, "a red star and a blue fish on sand", "high quality, detailed")
    latent = sample(model, positive, nodes.CLIPTextEncode().encode(clip, "")[0])
    assert read(recording, latent).words == [
        "high",
        "quality",
        "detailed",
        "red",
        "star",
        "blue",
        "fish",
        "sand",
    ]
    out = read(recording, latent, "star, quality")
    assert out.words == ["star", "quality"] and not torch.equal(out.heat[0], out.heat[1])


@pytest.mark.parametrize("l", ["", "a"])
def test_an_empty_first_text_is_no_empty_prompt(demo, l):  # noqa: E741
    model, clip, recording = recorded(demo)
    latent = sample(
        model, encode_both(clip, "red star, blue fish, sand", l), nodes.CLIPTextEncode().encode(clip, "")[0]
    )
    assert [w for w in read(recording, latent).words if w != "a"] == ["red star", "blue fish", "sand"]


def test_a_word_in_both_texts_has_both_columns(demo):
    model, clip, recording = recorded(demo)
    latent = sample(
        model, encode_both(clip, "a red star", "star, sand"), nodes.CLIPTextEncode().encode(clip, "")[0]
    )
    (entry,) = recording.match(latent)[0].run.of_role("positive")
    assert entry.prompt.find("star").columns == (1, 3)
    assert [(w.text, w.columns, w.encoders) for w in entry.prompt.words()] == [
        ("star", (1, 3), ""), ("sand", (3,), "l"), ("a", (1,), "g"), ("red", (2,), "g")
    ]  # fmt: skip


def test_edit_prompt_sees_a_word_that_changed_in_either_text(demo):
    """By default Edit Prompt strengthens the words that changed: the same as if the word were named."""
    model, clip, _ = demo
    remembering, traced, memory = remember(model, clip, 2**26)
    negative = nodes.CLIPTextEncode().encode(traced, "")[0]
    for before, after in (
        (("a red star", "good, sharp"), ("a red fish", "good, sharp")),
        (("good, sharp", "a red star"), ("good, sharp", "a red fish")),
    ):
        first = sample(remembering, encode_both(traced, *before), negative)
        positive = encode_both(traced, *after)
        drawn = []
        for words in ("", "fish", "good"):
            steering = steered.strengthening(layout_of(model.model.diffusion_model), words, strength=3.0)
            options = EditOptions(0.5, 0.0, smaller_grids=True, steering=steering)
            drawn.append(sample(edit(model, memory, first, options), positive, negative))
        assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_a_longer_second_text(demo):
    """ComfyUI fills the shorter text up with empty chunks."""
    model, clip, recording = recorded(demo)
    long = "a red star, " + "very " * 80 + "blue fish"
    latent = sample(
        model, encode_both(clip, long, "sand, (star:1.2)"), nodes.CLIPTextEncode().encode(clip, "")[0]
    )
    (entry,) = recording.match(latent)[0].run.of_role("positive")
    assert entry.length == 154 and entry.prompt.find("blue fish").columns[0] > 77
    assert entry.prompt.find("star").columns == (3,) and entry.prompt.find("(star:1.2)").columns == (3,)
    assert {"sand", "fish"} <= {w.text for w in entry.prompt.words()}


# Encoded below the traced CLIP


@pytest.mark.way(
    "Text encoded below the CLIP (ADV_CLIP_emb, Efficient Loader)", maps="right, words by order with one note"
)
def test_text_encoded_by_the_text_model_itself(demo):
    """Cases C1 and D4: words by order, and said to be so."""
    model, clip, recording = recorded(demo)
    positive = encode_below(clip, "a red star, a blue fish, sand", return_word_ids=True)
    negative = encode_below(clip, "ugly", return_word_ids=True)
    latent = sample(model, positive, negative)
    out = read(recording, latent)
    assert out.words == ["a red star", "a blue fish", "sand"]
    (warning,) = out.warnings
    assert "runs the text encoder in its own way" in warning and "“a red star, a blue fish, sand”" in warning
    again = encode_below(clip, "a green cat on grass", return_word_ids=True)  # only the positive text changes
    latent = sample(model, again, negative)
    assert read(recording, latent).words == ["green", "cat", "grass"]
    latent = sample(model, positive, negative, seed=2)  # as when ComfyUI has the first one cached
    assert read(recording, latent).words == ["a red star", "a blue fish", "sand"]


def test_a_typed_text_goes_before_a_guessed_one(demo):
    model, clip, recording = recorded(demo)
    latent = sample(model, encode_below(clip, "a red star"), encode_below(clip, "ugly"))
    assert read(recording, latent, prompt_text="a blue fish on sand, with a tree").words == [
        "blue",
        "fish",
        "sand",
        "tree",
    ]


def test_the_guess_does_not_change_maps_or_image(demo):
    model, clip, recording = recorded(demo)
    below, plain = encode_below(clip, "a red star"), nodes.CLIPTextEncode().encode(clip, "a red star")[0]
    negative = nodes.CLIPTextEncode().encode(clip, "")[0]
    one, two = (sample(model, positive, negative) for positive in (below, plain))
    assert torch.equal(one, two) and torch.equal(one, sample(demo[0], plain, negative))


def test_nothing_is_guessed_where_no_text_of_that_length_is_known(demo):
    model, clip, recording = recorded(demo)
    foreign = nodes.CLIPTextEncode().encode(demo[1], "a red star")[0]
    latent = sample(model, foreign, foreign)
    with pytest.raises(ValueError, match="The words of the positive prompt are not known"):
        read(recording, latent)
    assert read(recording, latent, prompt_text="a red star").words == ["red", "star"]


# Other shapes of tokens


@pytest.mark.way("Tokens of another shape (smZNodes, compel)", maps="passed over quietly")
@pytest.mark.parametrize(
    "tokens",
    [
        {"l": [([[49406, 320, 49407]], [[1.0, 1.0, 1.0]])]},
        {"l": [[]]},
        {"l": 3},
        {"l": [[("a", 1.0)]]},
        [[(49406, 1.0)]],
    ],
)
def test_tokens_of_another_shape_are_passed_over_quietly(demo, tokens, caplog):
    """Case D5."""
    _, clip, _ = recorded(demo)
    (registry,) = clip.hrv_registries
    registry.note_text("a cat", tokens, lambda text: tokens)
    registry.prompt(tokens)
    with pytest.raises(Exception):  # noqa: B017  (the small text model cannot read them; smZNodes' own can)
        clip.encode_from_tokens(tokens)
    assert "Could not note" not in caplog.text and "Traceback" not in caplog.text


def test_a_note_says_which_text_each_encoder_was_given(demo):
    model, clip, recording = recorded(demo)
    latent = sample(
        model, encode_both(clip, "a red star", "sand"), nodes.CLIPTextEncode().encode(clip, "")[0]
    )
    (note,) = notes_of(recording.match(latent))
    assert note.endswith("words of both are listed: text_l “sand” and text_g “a red star”.")


def test_names_that_the_page_is_told_are_those_of_the_node(demo):
    model, clip, recording = recorded(demo)
    latent = sample(
        model, encode_both(clip, "a red star", "sand"), nodes.CLIPTextEncode().encode(clip, "")[0]
    )
    assert names_of(recording.match(latent)) == read(recording, latent).words == ["sand", "red", "star"]
