"""Words that are not in the prompt (`also_look_for`), in the real host: what they would get, and that nothing else changes."""

import sys

import pytest
import rig
import token_rig
import torch

from devtools.server import ROOT
from hrv_pack.host.text.asked_words import asked_words
from hrv_pack.hrv.recording.recording import ASKED
from hrv_pack.hrv.relevance.heads_for_word import choose_heads

sys.path.append(str(ROOT / "tests" / "unit"))
from test_lens import unpack  # noqa: E402

PROMPT = "a red cat and a dog"
WORDS = "tree, cowboy hat"


def studio(kind="sdxl", text=WORDS, positive=PROMPT, **options):
    return rig.studio(kind, positive, asked=asked_words(rig.clip(kind), text), **options)


def plain(calls, desk, words=("tree", "cowboy hat")):
    """Block → Σ over calls of P of each word's tokens, one head and word at a time: a softmax over the prompt's columns and its own."""
    unet, layout, clip = desk.model.model.diffusion_model, desk.recording.layout, rig.clip("sdxl")
    context, sums = desk.positive[0][0], {}
    modules = {rig.key_of(n + ".to_q"): m for n, m in unet.named_modules() if n.endswith("attn2")}
    for call in calls:
        rows = [
            row
            for row, given in enumerate(call.context)
            if torch.equal(given[: context.shape[1]], context[0])
        ]
        for number, block in enumerate(layout.blocks):
            at = call.keys.index(block.key)
            for word in words:
                (embedded,) = clip.encode_from_tokens(clip.tokenize(word))
                length = len(word.split())  # every word of these is one token
                with torch.inference_mode():
                    own = modules[block.key].to_k(embedded[1 : 1 + length].to(context))
                for row in rows:
                    q, k = call.q[at][row], call.k[at][row, : context.shape[1]]
                    q, k, mine = (
                        t.double().unflatten(-1, (block.heads, -1)).transpose(0, 1) for t in (q, k, own)
                    )
                    p = torch.softmax(q @ torch.cat([k, mine], 1).mT / q.shape[-1] ** 0.5, -1)[
                        ..., k.shape[1] :
                    ]
                    sums.setdefault((number, word), []).append(p.mT)
    return {place: sum(found) for place, found in sums.items()}


@pytest.mark.parametrize(
    "negative", ["ugly", "very " * 90 + "ugly"]
)  # longer: ComfyUI repeats the positive prompt
def test_each_word_competes_with_the_columns_of_the_prompt(negative):
    desk = studio()
    other = rig.encode(desk.clip, negative)
    with rig.watch(desk.recorded) as calls:
        x = rig.sample(desk.recorded, desk.positive, other)
    assert {call.context.shape[1] for call in calls} == {154 if len(negative) > 99 else 77}
    for call in calls:  # the keys of the asked words are made by the layers as well
        call.k = [k for k in call.k if k.shape[0] == call.context.shape[0]]
    run = rig.last_run(desk.recording)
    assert run.warnings == [] and [entry.role for entry in run.entries] == ["positive", ASKED]
    asked = run.entries[1]
    assert asked.prompt.text == "tree, cowboy hat" and asked.count() == run.entries[0].count() == 2
    expected = plain(calls, desk)
    for number, maps in asked.maps.items():
        wanted = torch.cat([expected[number, word] for word in ("tree", "cowboy hat")], 1)
        assert torch.allclose(maps[0].sum(0).flatten(2).double(), wanted, atol=2e-3)
    # the image, and what the prompt's words get, are as without
    without = rig.studio("sdxl", PROMPT)
    assert torch.equal(x, rig.sample(without.recorded, without.positive, rig.encode(without.clip, negative)))
    for number, maps in rig.entry(without.recording).maps.items():
        assert torch.equal(maps, run.entries[0].maps[number])


def test_they_are_listed_behind_the_prompt_and_change_nothing_of_it(comfy):
    desk = studio().sample(batch=2)
    without = rig.studio("sdxl", PROMPT).sample(batch=2)
    read = {"latent": desk.latent, "caption": False}
    (_, heat, mask, words), shown = comfy.run_node_ui("HRVHeatmap", attention=desk.recording, **read)
    assert words == ["red", "cat", "dog", "tree", "cowboy hat"] * 2
    assert [tile["asked"] for tile in shown["hrv_tiles"][0]["tiles"]] == [False, False, False, True, True] * 2
    assert shown["hrv_words"][0] == "red" and shown["hrv_words"][-1] == "cowboy hat"
    plain = comfy.run_node("HRVHeatmap", attention=without.recording, **read)
    for place in (0, 1, 2, 5, 6, 7):
        assert torch.equal(heat[place], plain[1][place - (2 if place > 4 else 0)])
    asked = comfy.run_node("HRVHeatmap", attention=desk.recording, words="Cowboy Hat", **read)
    assert torch.equal(asked[2][0], mask[4]) and torch.equal(asked[1][1], heat[9])
    heads = choose_heads(desk.recording.match(desk.latent["samples"]), "tree", 23.0).heads
    assert heads.weights.max() > 0
    with pytest.raises(Exception, match="bird"):
        comfy.run_node("HRVHeatmap", attention=desk.recording, words="bird", **read)


def test_the_lens_has_them_beside_the_words_of_the_prompt(comfy):
    desk = studio().sample()
    image = torch.rand(1, 128, 192, 3)
    found, shown = comfy.run_node_ui(
        "HRVLens", attention=desk.recording, latent=desk.latent, image=image, words="tree"
    )
    wanted = comfy.run_node(
        "HRVHeatmap", attention=desk.recording, latent=desk.latent, image=image, words="tree"
    )
    assert torch.equal(found[1], wanted[2])
    (frame,) = shown["hrv_lens"][0]["frames"]
    places = [frame["names"].index(name) for name in ("tree", "cowboy hat")]
    assert frame["asked"] == places == [6, 7] and not set(places) & set(frame["fillers"])
    maps = unpack(frame, len(frame["names"]))
    assert maps[places].amax((1, 2)).min() > 0


def test_they_are_kept_in_files_and_over_parts_of_a_chain(comfy, tmp_path, monkeypatch):
    desk = studio(time_bins=2)
    import nodes

    with torch.inference_mode():
        half = nodes.common_ksampler(
            desk.recorded, 5, 4, 7.0, "euler", "normal", desk.positive, desk.negative, rig.empty(),
            last_step=2, force_full_denoise=False,
        )[0]  # fmt: skip
        whole = nodes.common_ksampler(
            desk.recorded, 5, 4, 7.0, "euler", "normal", desk.positive, desk.negative, half, disable_noise=True,
            start_step=2, force_full_denoise=True,
        )[0]  # fmt: skip
    run = rig.last_run(desk.recording)
    asked = [entry for entry in run.entries if entry.role == ASKED]
    assert len(asked) == 1 and asked[0].count() == run.entries[0].count() == 4
    for name in ("output", "input"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(comfy.folder_paths, f"{name}_directory", str(tmp_path / name))
    comfy.run_node("HRVSaveAttention", attention=desk.recording, latent=whole, filename_prefix="asked")
    name = comfy.node_class("HRVLoadAttention").INPUT_TYPES()["required"]["name"][1]["options"][0]
    attention, latent = comfy.run_node("HRVLoadAttention", name=name)
    one, other = (
        comfy.run_node("HRVHeatmap", attention=a, latent=x, words="tree", caption=False)
        for a, x in ((desk.recording, whole), (attention, latent))
    )
    assert torch.equal(one[1], other[1]) and one[1].max() > 0


def test_an_existing_image_is_searched_for_them(comfy):
    desk = rig.studio("sdxl", PROMPT)
    latent = {"samples": torch.randn(1, 4, 16, 24, generator=torch.Generator().manual_seed(0))}
    given = {"model": desk.model, "positive": desk.positive, "latent": latent, "moments": 2}
    recording, out = comfy.run_node("HRVRecordImage", **given, clip=rig.clip("sdxl"), also_look_for="tree")
    assert [entry.role for entry in recording.runs[0].entries] == ["positive", ASKED]
    words = comfy.run_node("HRVHeatmap", attention=recording, latent=out)[3]
    assert words == ["red", "cat", "dog", "tree"]
    with pytest.raises(Exception, match="connect `clip`, or leave `also_look_for` empty"):
        comfy.run_node("HRVRecordImage", **given, also_look_for="tree")


def test_what_cannot_be_looked_for_is_a_warning_and_the_image_is_made(comfy, caplog):
    made = comfy.run_node("HRVRecordAttention", model=rig.tiny("sdxl"), also_look_for="tree")
    assert "`also_look_for` are not looked for: `also_look_for` needs a CLIP" in caplog.text
    x = rig.sample(made[0], *(rig.encode(rig.clip("sdxl"), text) for text in (PROMPT, "ugly")))
    assert x.isfinite().all() and not made[2].runs[0].asked
    many = ", ".join(f"word{number}" for number in range(41))
    comfy.run_node("HRVRecordAttention", model=rig.tiny("sdxl"), clip=rig.clip("sdxl"), also_look_for=many)
    assert "at most 40 words; these are 41" in caplog.text


def test_an_error_ends_the_search_alone(monkeypatch):
    from hrv_pack.host.follow import asked_sums

    def broken(*args, **more):
        raise RuntimeError("no more")

    monkeypatch.setattr(asked_sums, "asked_probabilities", broken)
    desk = studio()
    x = rig.sample(desk.recorded, desk.positive, desk.negative)
    run = rig.last_run(desk.recording)
    (warning,) = run.warnings
    assert "`also_look_for` were not looked for in this run (RuntimeError: no more)" in warning
    without = rig.studio("sdxl", PROMPT)
    assert torch.equal(x, rig.sample(without.recorded, without.positive, without.negative))
    assert [entry.role for entry in run.entries] == ["positive"] and len(run.entries[0].maps) == len(
        run.layout.blocks
    )


def test_a_transformer_says_that_it_cannot():
    desk = token_rig.studio("Lumina 2", asked=asked_words(rig.clip("sdxl"), "tree"))
    given = token_rig.prompt("Lumina 2")
    x = rig.sample(desk.recorded, given, given, token_rig.empty("Lumina 2"))
    assert x.isfinite().all() and not desk.run.asked and desk.run.entries[0].maps
    (warning,) = [one for one in desk.run.warnings if "also_look_for" in one]
    assert "as SD and SDXL do" in warning


def test_nothing_is_asked_for_unless_something_is_typed():
    assert asked_words(rig.clip("sdxl"), " ,\n, ") is None
    found = asked_words(rig.clip("sdxl"), "tree, tree, cowboy hat")
    assert found.lengths == (1, 2) and found.table.shape[0] == 3
