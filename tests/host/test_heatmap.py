"""Attention Heatmap in the real host: from sampling with a small random model to overlays, heat, masks, words."""

import logging

import pytest
import torch
import torch.nn.functional as F

INPUTS = [
    ("attention", "HRV_ATTENTION", None),
    ("latent", "LATENT", None),
    ("words", "STRING", ""),
    ("unit", ["auto", "words", "tags"], "auto"),
    ("image", "IMAGE", None),
    ("heads", "HRV_HEADS", None),
    ("role", ["positive", "negative"], "positive"),
    ("normalize", ["shared", "per word"], "shared"),
    ("threshold", "FLOAT", 0.4),
    ("alpha", "FLOAT", 0.6),
    ("colormap", ["turbo", "inferno", "viridis", "gray"], "turbo"),
    ("caption", "BOOLEAN", True),
    ("prompt_text", "STRING", ""),
    ("timeline", "BOOLEAN", False),
    ("tint", ["where it is hot", "everywhere"], "where it is hot"),
    ("refine", ["none", "image edges"], "none"),
    ("maps", ["best heads for each word", "all heads (DAAM)"], "best heads for each word"),
    ("share", ["of everything", "of the text"], "of everything"),
    ("border_peaks", ["left out", "kept"], "left out"),
]
OUTPUTS = [
    ("overlay", "IMAGE", False),
    ("heat", "MASK", False),
    ("mask", "MASK", False),
    ("words", "STRING", True),
]


@pytest.fixture(scope="module")
def sampled(rig):
    """A studio whose recorder has seen one sampling of a batch of two, and that latent."""
    studio = rig.studio("sdxl", "a (red:1.4) cat and a café 😀", "ugly dog", record_negative=True)
    return studio.sample(batch=2)


def heatmap(comfy, studio, latent=None, **inputs):
    return comfy.run_node(
        "HRVHeatmap", attention=studio.recording, latent=studio.latent if latent is None else latent, **inputs
    )


def test_the_contract_of_the_graph(comfy):
    schema = comfy.node_class("HRVHeatmap").GET_SCHEMA()
    found = [
        (i.id, getattr(i, "options", None) or i.get_io_type(), getattr(i, "default", None))
        for i in schema.inputs
    ]
    assert found == INPUTS
    assert [i.id for i in schema.inputs if i.optional] == [
        "image",
        "heads",
        "prompt_text",
        "timeline",
        "tint",
        "refine",
        "maps",
        "share",
        "border_peaks",
    ]
    assert [(o.display_name, o.get_io_type(), bool(o.is_output_list)) for o in schema.outputs] == OUTPUTS
    assert all(i.tooltip for i in schema.inputs) and all(o.tooltip for o in schema.outputs)
    assert schema.is_output_node


def test_heat_is_the_mean_attention_that_the_layers_computed(comfy, rig):
    studio = rig.studio("sd1", positive="a cow boy hat on a cat")
    with rig.watch(studio.recorded) as calls:
        x = rig.sample(studio.recorded, studio.positive, studio.negative, rig.empty(2, 16, 24))
    run = rig.last_run(studio.recording)
    columns = (4, 5)  # start, a, cow, boy, hat, on: "hat on"
    sums = rig.expected(calls, run.layout, studio.positive[0][0], columns)
    image = torch.rand(2, 160, 240, 3)
    asked = {"words": "Hat  ON", "image": image, "normalize": "per word", "threshold": 0.5}
    _, heat, mask, words = heatmap(comfy, studio, {"samples": x}, maps="all heads (DAAM)", **asked)
    assert words == ["Hat  ON", "Hat  ON"]
    for element in range(2):
        total = torch.zeros(16, 24, dtype=torch.float64)
        for block, maps in sums.items():
            side = run.entries[0].maps[block].shape[-2:]
            means = maps[element].reshape(-1, *side) / rig.entry(studio.recording).count()
            total += F.interpolate(means[:, None], (16, 24), mode="bicubic").clamp(min=0).sum((0, 1))
        large = F.interpolate((total / (2 * run.layout.heads))[None, None], (160, 240), mode="bicubic")[0, 0]
        relative = (large - large.min()) / (large.max() - large.min())
        # maps are kept in half precision, and random attention is nearly flat: rounding shows
        assert (heat[element] - relative).abs().max() < 0.05
        agreeing = mask[element] == (relative >= 0.5)
        assert agreeing.float().mean() > 0.97 and 0.1 < mask[element].mean() < 0.9


def test_all_words_of_all_pictures(comfy, sampled):
    overlay, heat, mask, words = heatmap(comfy, sampled)
    assert words == ["red", "cat", "café", "😀"] * 2
    assert heat.shape == mask.shape == (8, 128, 192)
    assert overlay.shape[0] == 8 and overlay.shape[1] > 128 and overlay.shape[2:] == (192, 3)
    for tensor in (overlay, heat, mask):
        assert tensor.dtype == torch.float32 and 0 <= tensor.min() and tensor.max() <= 1
    assert heat[:4].max() > 0.95 and heat[4:].max() > 0.95


def test_the_node_shows_its_overlays_and_one_line(comfy, sampled):
    _, shown = comfy.run_node_ui(
        "HRVHeatmap", attention=sampled.recording, latent=sampled.latent, words="cat, red"
    )
    assert len(shown["images"]) == 4
    folder = comfy.folder_paths.get_temp_directory()
    from PIL import Image

    with Image.open(f"{folder}/{shown['images'][0]['filename']}") as picture:
        assert picture.width == 192 and picture.height > 128
    assert (
        shown["text"][0] == "2 words × 2 images · best heads for each word · grid 12×8 · 2 model evaluations"
    )


def test_pictures_that_were_upscaled_or_have_alpha(comfy, sampled):
    image = torch.rand(2, 200, 300, 4)
    overlay, heat, *_ = heatmap(comfy, sampled, words="cat", image=image, alpha=0.0, caption=False)
    assert torch.equal(overlay, image[..., :3]) and heat.shape == (2, 200, 300)


def test_the_negative_prompt(comfy, sampled, rig):
    assert heatmap(comfy, sampled, role="negative")[3] == ["ugly", "dog"] * 2
    studio = rig.studio("sdxl")
    x = rig.sample(studio.recorded, studio.positive, studio.negative)
    with pytest.raises(ValueError, match="Switch `negative` on"):
        heatmap(comfy, studio, {"samples": x}, role="negative")


def test_a_word_that_is_not_in_the_prompt(comfy, sampled):
    with pytest.raises(ValueError, match="“catt” is not in the prompt. Did you mean “cat”"):
        heatmap(comfy, sampled, words="catt")


def test_a_latent_that_was_changed_is_answered_with_a_warning(comfy, sampled, caplog):
    other = {"samples": sampled.latent["samples"] + 1}
    with caplog.at_level(logging.WARNING):
        result, shown = comfy.run_node_ui(
            "HRVHeatmap", attention=sampled.recording, latent=other, words="cat"
        )
    assert "It matches an image that did" in shown["text"][0]
    assert [r.getMessage() for r in caplog.records if "It matches an image" in r.getMessage()] != []
    assert torch.equal(result[1], heatmap(comfy, sampled, words="cat")[1])


def test_text_of_an_untraced_clip_is_read_from_prompt_text(comfy, rig):
    studio = rig.studio("sdxl")
    text = "two big dogs and a cat"
    positive = rig.encode(rig.clip("sdxl"), text)
    latent = {"samples": rig.sample(studio.recorded, positive, studio.negative)}
    with pytest.raises(ValueError, match="connect the loader's CLIP to Record Attention"):
        heatmap(comfy, studio, latent, words="cat")
    found = heatmap(comfy, studio, latent, words="cat", prompt_text=text)
    traced = {"samples": rig.sample(studio.recorded, rig.encode(studio.clip, text), studio.negative)}
    assert torch.equal(traced["samples"], latent["samples"])
    assert torch.equal(found[1], heatmap(comfy, studio, traced, words="cat")[1])


def test_nothing_recorded_yet(comfy, rig):
    with pytest.raises(ValueError, match="Nothing has been recorded yet"):
        heatmap(comfy, rig.studio("sdxl"), rig.empty())


def test_cancelling_stops_between_words(comfy, sampled):
    import comfy.model_management as management

    management.interrupt_current_processing(True)
    try:
        with pytest.raises(management.InterruptProcessingException):
            heatmap(comfy, sampled)
    finally:
        management.interrupt_current_processing(False)
    assert len(heatmap(comfy, sampled, words="cat")[3]) == 2


def test_much_memory_is_told_before_and_too_much_is_refused(comfy, sampled, monkeypatch):
    from hrv_pack.nodes.look import heatmap as node

    order = []
    monkeypatch.setattr(node, "say", order.append)
    monkeypatch.setattr(node, "node_progress", lambda: lambda done, total: order.append(done))
    result, shown = comfy.run_node_ui("HRVHeatmap", attention=sampled.recording, latent=sampled.latent)
    assert "text" in shown and not [said for said in order if isinstance(said, str)]
    monkeypatch.setattr("hrv_pack.hrv.look.heatmap_memory.WORKSPACE", 0)
    free = 300 * 2**20
    image = torch.zeros(1, 1, 1, 3).expand(2, 1500, 2250, 3)
    inputs = {"attention": sampled.recording, "latent": sampled.latent, "image": image, "words": "cat, red"}
    monkeypatch.setattr(node, "free_memory", lambda: free)
    order.clear()
    _, shown = comfy.run_node_ui("HRVHeatmap", **inputs)
    assert order[0].startswith("Overlays, heat and masks (2 × 2 × 2250×1500) need 2") and 0 in order
    assert f"⚠ {order[0]}" in shown["text"][0] and "the 300 MB that is free" in order[0]
    free = 100 * 2**20
    with pytest.raises(
        ValueError, match="more than the 100 MB that is free. Ask for fewer words. Connect fewer"
    ):
        comfy.run_node("HRVHeatmap", **inputs)


def test_progress_is_told(comfy, sampled):
    import comfy.utils as utils

    seen, before = [], utils.PROGRESS_BAR_HOOK
    utils.set_progress_bar_global_hook(lambda value, total, preview, **more: seen.append((value, total)))
    try:
        heatmap(comfy, sampled, words="cat, red")
    finally:
        utils.set_progress_bar_global_hook(before)
    assert seen[0] == (0, 4) and seen[-1] == (4, 4)  # the host leaves out what comes too fast


def test_refined_masks_of_the_demo_model_fit_the_thing(comfy):
    """The fish is blue on sand: what is blue in the image is the truth."""
    import nodes

    model, clip, vae = comfy.run_node("HRVDemoCheckpoint")
    model, clip, recording = comfy.run_node("HRVRecordAttention", model=model, clip=clip)
    with torch.inference_mode():
        texts = [
            nodes.CLIPTextEncode().encode(clip, text)[0] for text in ("a large plain blue fish on sand", "")
        ]
        empty = nodes.EmptyLatentImage().generate(256, 256, 1)[0]
        latent = nodes.KSampler().sample(model, 7, 10, 4.5, "euler", "normal", *texts, empty, 1.0)[0]
        image = nodes.VAEDecode().decode(vae, latent)[0]
    truth = image[0, ..., 2] - image[0, ..., 0] > 0.2
    heads = comfy.run_node("HRVAutoHeads", attention=recording, latent=latent, word="fish")[0]
    asked = {"attention": recording, "latent": latent, "image": image, "words": "fish"}
    plain, refined = (
        comfy.run_node("HRVHeatmap", **asked, heads=heads, refine=how)[2][0] > 0
        for how in ("none", "image edges")
    )
    iou = [float((mask & truth).sum() / (mask | truth).sum()) for mask in (plain, refined)]
    assert iou[1] > 0.95 and iou[1] > iou[0] + 0.05
    from_lens = comfy.run_node("HRVLens", **asked, refine="image edges")[1][0]
    assert torch.equal(from_lens, comfy.run_node("HRVHeatmap", **asked, refine="image edges")[2][0])


def test_a_peak_in_the_corner_is_left_out_unless_it_is_to_be_kept(comfy, rig):
    studio = rig.studio("sdxl", "a cat and a hat").sample()
    run = rig.last_run(studio.recording)
    (entry,) = run.of_role("positive")
    grid = run.grid
    column = entry.columns.index(entry.prompt.find("cat").columns[0])
    for block, maps in entry.maps.items():
        maps = maps.clone()
        height, width = maps.shape[-2:]
        maps[..., column, :, :] = 0.01
        maps[..., column, height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = 0.5
        if (height, width) == grid:
            maps[..., column, 0, 0] = 20.0
        entry.maps[block] = maps
    asked = {"words": "cat, hat", "normalize": "per word"}
    (_, heat, mask, _), shown = comfy.run_node_ui(
        "HRVHeatmap", attention=studio.recording, latent=studio.latent, **asked
    )
    (note,) = shown["hrv_messages"][0]["notes"]
    assert "“cat”:" in note and "`border_peaks`" in note
    assert mask[0, 60, 96] == 1 and mask[0, :16, :16].max() == 0 and heat[0, :16, :16].max() < 0.3
    _, heat, mask, _ = heatmap(comfy, studio, border_peaks="kept", **asked)
    assert mask[0, 60, 96] == 0 and mask[0, 2, 2] == 1 and heat[0, 2, 2] > 0.9
