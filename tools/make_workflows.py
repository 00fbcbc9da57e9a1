"""Writes example_workflows/*.json and subgraphs/*.json: the example graphs and the blueprints, in the form that ComfyUI's page saves.

    python3 tools/make_workflows.py

How a graph is described: workflow_graph.py. Standard library only.
"""

from __future__ import annotations

import blueprints
from head_examples import AGREEMENT, compare_masks, merge_builds, which_rose
from steering_graphs import change_one_word, excite_a_missing_thing, lost_word, ordered_weakening, wrong_sense
from workflow_graph import Graph, sdxl, text_to_image, z_image

STAR_AND_FISH = "a red star and a blue fish on sand"
PUBLISHED = "SDXL: 34 published concepts (downloads 177 kB once)"
MUTED = 2  # a node's mode in ComfyUI's page: it does not run


def which_word(name: str, note: str, graph: Graph, words: str) -> None:
    graph.heatmap("heatmap", (1480, 60), words)
    graph.nodes["heatmap"]["size"] = [520, 960]
    app = (["positive.text", "sampler.seed"], ["save", "heatmap"])
    graph.save(name, note, size=(690, 190), app=app)


def repaint(name: str) -> None:
    graph = text_to_image(STAR_AND_FISH)
    graph.heatmap("heatmap", (1480, 160), "fish", "Where the fish is")
    graph.add("grow", "GrowMask", (780, 640), (300, 90), [12, True], mask="heatmap.mask")
    graph.add(
        "masked", "SetLatentNoiseMask", (780, 780), (300, 60), title="Repaint only the mask",
        samples="sampler.LATENT", mask="grow.MASK",
    )  # fmt: skip
    graph.add("repaint_text", "CLIPTextEncode", (390, 780), (340, 130), ["a red star and a green mug on sand"],
              "What to paint there", clip="loader.clip")  # fmt: skip
    graph.sampler(
        "repaint decode2", (1130, 780), (11, 20, 5.0), "Second sampler", model="loader.model",
        positive="repaint_text.CONDITIONING", latent_image="masked.LATENT",
    )  # fmt: skip
    graph.add(
        "save2",
        "SaveImage",
        (1890, 160),
        (360, 400),
        ["hrv/repainted"],
        "The repainted image",
        images="decode2.IMAGE",
    )
    note = (
        "**Mask a word and repaint it.** Attention Heatmap finds where *fish* was drawn. Its mask output goes through "
        "Grow Mask into Set Latent Noise Mask, and the second KSampler repaints only there.\n\n"
        "Change the word in Attention Heatmap to mask something else: the first image is not sampled again."
    )
    app = (
        ["positive.text", "heatmap.words", "repaint_text.text", "sampler.seed"],
        ["save", "heatmap", "save2"],
    )
    graph.save(name, note, size=(690, 190), app=app)


def sharp_masks(name: str) -> None:
    graph = text_to_image(STAR_AND_FISH)
    graph.add(
        "auto", "HRVAutoHeads", (1130, 540), (300, 230), ["fish", 23.0, ""],
        attention="record.attention", latent="sampler.LATENT",
    )  # fmt: skip
    for place, (key, title) in enumerate((("sharp", "Fish, at the image's edges"), ("plain", "Fish, plain"))):
        graph.heatmap(key, (1480 + 410 * place, 30), "fish", title, heads="auto.heads")
        graph.add(
            f"{key}_mask",
            "MaskPreview",
            (1480 + 410 * place, 890),
            (360, 330),
            title=f"Mask: {title}",
            mask=f"{key}.mask",
        )
    graph.nodes["sharp"]["widgets_values"] += [
        False,
        "where it is hot",
        "image edges",
    ]  # timeline, tint, refine
    note = (
        "**Sharp masks.** With `refine` set to *image edges*, the mask of a word takes the outline of the thing in the image instead of "
        "the blur of its heatmap. Compare the two masks: the left one follows the fish, the right one is the heatmap cut at the "
        "threshold.\n\n"
        "If the image has no clear edge where the heatmap is, the plain mask is kept, and the node tells you so."
    )
    graph.save(name, note)


def two_recordings(name: str) -> None:
    graph = text_to_image(STAR_AND_FISH)
    graph.add("prompt_b", "CLIPTextEncode", (390, 780), (340, 130), ["a red star and a blue cat on sand"],
              "Prompt B", clip="record.clip")  # fmt: skip
    graph.sampler(
        "sampler2 decode2", (780, 780), (7, 20, 5.0), "Sampler B", model="record.model",
        positive="prompt_b.CONDITIONING",
    )  # fmt: skip
    graph.add(
        "compare", "HRVCompareRecordings", (1480, 160), (560, 900), ["", "auto"],
        attention_a="record.attention", latent_a="sampler.LATENT", image_a="decode.IMAGE",
        attention_b="record.attention", latent_b="sampler2.LATENT", image_b="decode2.IMAGE",
    )  # fmt: skip
    graph.add(
        "text",
        "PreviewAny",
        (2080, 160),
        (440, 500),
        title="What became of each word",
        source="compare.report",
    )
    note = (
        "**What changed between two images?** One Record Attention serves both samplers; the two prompts differ in one word. Compare Two "
        "Recordings shows every word that both prompts have in A, in B, and the difference: blue where the model looked less in B, red "
        "where it looked more.\n\n"
        "Change the seed in one sampler instead, put a LoRA behind a second Record Attention, or load a recording from a file."
    )
    graph.save(name, note)


def existing_image(name: str) -> None:
    graph = text_to_image(STAR_AND_FISH)
    graph.add(
        "encode",
        "VAEEncode",
        (780, 640),
        (300, 60),
        title="Any image: encode it",
        pixels="decode.IMAGE",
        vae="loader.vae",
    )
    graph.add("xray", "HRVRecordImage", (1130, 640), (300, 150), [5, 0, "fixed"],
              model="loader.model", positive="positive.CONDITIONING", latent="encode.LATENT")  # fmt: skip
    graph.heatmap("heatmap", (1480, 160), "star, fish", attention="xray.attention", latent="xray.latent")
    note = (
        "**What does this model see in my image?** X-Ray an Image needs no sampling: it noises an encoded image a little and runs the "
        "model once at five noise levels. Attention Heatmap then shows where it sees each word of the prompt.\n\n"
        "Here the image is one that the upper row made. Put a Load Image node in its place, and describe that image in the prompt. Record "
        "Attention is only needed for its `clip`, so that the words are known."
    )
    graph.save(name, note)


def report(name: str) -> None:
    graph = text_to_image("a red star, a blue fish and a yellow cat on sand", seed=3, steps=12, cfg=4.5)
    graph.add(
        "report", "HRVPromptReport", (1480, 160), (540, 800), ["auto"],
        attention="record.attention", latent="sampler.LATENT", image="decode.IMAGE",
    )  # fmt: skip
    graph.add(
        "text",
        "PreviewAny",
        (2070, 160),
        (540, 800),
        ["", True],
        "All the numbers, as text",
        source="report.report",
    )
    note = (
        "**Why did my prompt go wrong?** Prompt Report reads what Record Attention recorded and finds words that were ignored, "
        "things drawn in the same place, and adjectives on the wrong noun. For each it suggests one thing to try. Here the prompt "
        "asks for three things, and the fish is missing.\n\n"
        "Change the prompt or the seed in KSampler and run again. All words on the page share one scale."
    )
    graph.save(name, note, size=(690, 190), app=(["positive.text", "sampler.seed"], ["save", "report"]))


def words_that_can_go(name: str) -> None:
    graph = text_to_image(
        "a large red star on sand, plain, detailed, high quality, beautiful", seed=3, steps=12, cfg=4.5
    )
    graph.nodes["record"]["pos"] = [40, 580]  # below what the loader says of the words that it does not know
    graph.add(
        "effect", "HRVWordEffect", (1480, 160), (520, 960),
        ["", "words", "", 3, "positive", "shared", 0.4, 0.6, "turbo", True],
        model="record.model", clip="record.clip", attention="record.attention", latent="sampler.LATENT", image="decode.IMAGE",
    )  # fmt: skip
    graph.add(
        "text", "PreviewAny", (2050, 160), (460, 660), ["", True], "All words, sorted", source="effect.report"
    )
    note = (
        "**Which words can go?** What Each Word Did leaves out one word at a time and asks the model again at three steps of this run. "
        "Nothing is sampled again. The strongest word comes first; words that do nothing here can go.\n\n"
        "Type a word into `replace_with` to ask what it would do in each word's place. It also works with models whose attention cannot be recorded: put your own loader "
        "in the place of Load Demo Checkpoint."
    )
    graph.save(name, note, size=(690, 190))


def what_a_lora_does(name: str) -> None:
    graph = text_to_image("a large red star on grass", seed=7, steps=15, cfg=4.5)
    graph.add(
        "lora", "LoraLoaderModelOnly", (390, 700), (340, 110), ["hrv_demo_sticker.safetensors", 1.0],
        title="The LoRA (comes with the pack)", model="loader.model",
    )  # fmt: skip
    graph.add(
        "effect", "HRVModelEffect", (1480, 160), (420, 600), [3, 0.4, 0.6, "turbo", True, "where it is hot"],
        model="record.model", other_model="lora.MODEL", attention="record.attention", latent="sampler.LATENT", image="decode.IMAGE",
    )  # fmt: skip
    graph.add(
        "text",
        "PreviewAny",
        (1920, 160),
        (400, 600),
        ["", True],
        "In words and numbers",
        source="effect.report",
    )
    graph.sampler(
        "second decode2", (780, 700), (7, 15, 4.5), "To check: sampled with the LoRA", model="lora.MODEL"
    )
    graph.before_and_after((1130, 700), (300, 400))
    note = (
        "**What does this LoRA do here?** What a Model Change Did asks the model with and without the LoRA at three steps of this run, without "
        "sampling again, and shows where they differ. This LoRA puts a white border around things: the heat lies around the star. The second "
        "sampler is only there to check.\n\n"
        "Try another `strength`. For your own LoRA, put your loader in the place of Load Demo Checkpoint; for a ControlNet, connect the same model twice and the "
        "other conditioning to `other_positive`."
    )
    graph.save(name, note, size=(690, 190))


def build_vectors(name: str) -> None:
    graph = Graph()
    graph.add("loader", "HRVDemoCheckpoint", (40, 160), (300, 240))
    graph.add(
        "build", "HRVBuildVectors", (390, 160), (420, 640),
        ["demo", "", 8, 5.0, 256, 256, 0, "fixed", 4, 40, "euler", "normal", "", "votes"],
        model="loader.model", clip="loader.clip",
    )  # fmt: skip
    graph.add("save", "HRVSaveVectors", (860, 160), (360, 110), ["my_checkpoint"], vectors="build.vectors")
    graph.select((860, 330), (360, 200), "Objects", vectors="build.vectors")
    graph.add(
        "settled", "PreviewImage", (1270, 160), (420, 300), title="Is it stable yet?", images="build.chart"
    )
    graph.add(
        "heads", "PreviewImage", (1270, 520), (420, 300), title="Heads for objects", images="select.chart"
    )
    note = (
        "**Build vectors for your checkpoint.** Build Head Relevance generates images, and at every step each attention head votes "
        "for the concept that it looks at most. Here it uses 40 prompts at 8 steps with the demo checkpoint, which takes a few "
        "minutes.\n\n"
        "For your own checkpoint, replace Load Demo Checkpoint with your loader, choose `general`, set width, height, steps and "
        "cfg to your usual values, and set `prompt_limit` to 0. This takes a few hours. Cancel whenever you like: what was counted "
        "is saved in models/hrv, and you can continue from it with `continue_from`."
    )
    graph.save(name, note, "How to use this", size=(780, 230))


def published_vectors(name: str) -> None:
    graph = sdxl("photo of a fox wearing a red knitted scarf, sitting on a wooden bench in snow")
    graph.add("vectors", "HRVLoadVectors", (40, 780), (340, 110), [PUBLISHED])
    graph.select((430, 780), (340, 200), "Animals")
    graph.add(
        "filter", "HRVFilterHeads", (820, 780), (280, 160), ["all", "all", "", "shared by both"], heads="select.heads",
    )  # fmt: skip
    graph.heatmap("heatmap", (1480, 160), "fox", "Fox, from the heads for animals", heads="filter.heads")
    graph.heatmap("daam", (1890, 160), "fox", "Fox, from all heads")
    graph.add(
        "chart", "PreviewImage", (1130, 560), (320, 380), title="Where these heads are", images="select.chart"
    )
    note = (
        "**Load published vectors for SDXL.** Load Head Relevance downloads 177 kB once. Select Heads by Concept takes the "
        "23 % of SDXL's 1300 heads that care most about animals; Filter Heads can narrow them to a part of the network. "
        "Compare the two heatmaps: one from the chosen heads, one from all heads.\n\n"
        "For *red*, choose Color; for *knitted*, Material or Texture. Needs `sd_xl_base_1.0.safetensors`; any SDXL checkpoint works."
    )
    graph.save(name, note, "How to use this")


def lens(name: str) -> None:
    graph = text_to_image(STAR_AND_FISH)
    graph.nodes["record"]["widgets_values"][2] = 4
    graph.add(
        "lens", "HRVLens", (1480, 60), (460, 900), ["auto", "fish", 0.4, "", 23.0],
        attention="record.attention", latent="sampler.LATENT", image="decode.IMAGE",
    )  # fmt: skip
    graph.add(
        "mask", "MaskPreview", (1130, 540), (300, 330), title="The mask of the pinned word", mask="lens.mask"
    )
    note = (
        "**Look into an image.** Run the workflow. Then point at a word in Attention Lens to see where the model looked for it, or "
        "at the image to see which words drew that spot.\n\n"
        "Click words to pin them: each pinned word gives an overlay and a mask. The step slider appears because "
        "`time_bins` in Record Attention is 4."
    )
    graph.save(name, note, size=(690, 190))


def heads_without_vectors(name: str) -> None:
    graph = text_to_image(STAR_AND_FISH)
    graph.add(
        "auto", "HRVAutoHeads", (1130, 540), (300, 230), ["fish", 23.0, ""],
        attention="record.attention", latent="sampler.LATENT",
    )  # fmt: skip
    graph.heatmap("heatmap", (1480, 160), "fish", "Fish, from the heads that found it", heads="auto.heads")
    graph.heatmap("daam", (1890, 160), "fish", "Fish, from all heads")
    graph.add(
        "chart", "PreviewImage", (440, 780), (650, 340), title="Where these heads are", images="auto.chart"
    )
    note = (
        "**Select heads without vectors.** Most attention heads look past the thing that a word names. Select Heads for a Word "
        "picks the heads that found it, from the recording alone, and the left heatmap averages only these. The right one averages "
        "all heads (DAAM).\n\n"
        "It works with every SD1 and SDXL checkpoint. To see another word, type it into both nodes; nothing is sampled again."
    )
    graph.save(name, note)


def heatmap_by_concept(name: str) -> None:
    graph = text_to_image("an orange and a blue fish on sand")
    graph.add("vectors", "HRVLoadVectors", (40, 780), (300, 110), [AGREEMENT])
    graph.select((390, 660), (340, 200), "Objects", "balanced")
    graph.add(
        "chart", "PreviewImage", (780, 640), (650, 340), title="Where these heads are", images="select.chart"
    )
    graph.heatmap("heatmap", (1480, 60), "fish", "Fish, from the heads for objects", heads="select.heads")
    graph.heatmap("daam", (1890, 60), "fish", "Fish, from all heads")
    note = (
        "**Heatmaps by concept, on the demo model.** Its head relevance ships with the pack; the file by agreement is the one for "
        "clean heatmaps. Select Heads by Concept takes the 23 % of heads that find objects best, *balanced* so that the loud ones "
        "do not drown out the others. Compare the two heatmaps of *fish*."
    )
    graph.save(name, note)


def which_mouse(name: str) -> None:
    graph = sdxl("photo of a small mouse beside a keyboard on a wooden desk")
    graph.add("vectors", "HRVLoadVectors", (780, 620), (300, 110), [PUBLISHED])
    graph.add(
        "compare", "HRVCompareConcepts", (1480, 160), (640, 620), ["mouse", "Animals, Electronics", 23.0, ""],
        attention="record.attention", latent="sampler.LATENT", vectors="vectors.vectors", image="decode.IMAGE",
    )  # fmt: skip
    note = (
        "**Which mouse?** *mouse* is an animal or a device. Compare Concepts looks at the word through the heads that care about "
        "animals and through those that care about electronics, shows both side by side, and tells you which one the model drew.\n\n"
        "Needs `sd_xl_base_1.0.safetensors`; any SDXL checkpoint works. Load Head Relevance downloads 177 kB once. Try other "
        "words with two meanings: *crane*, *bat*, *orange*."
    )
    graph.save(name, note)


def save_and_read_later(name: str) -> None:
    graph = text_to_image(STAR_AND_FISH)
    graph.add(
        "keep", "HRVSaveAttention", (1130, 540), (300, 140), ["attention/my_picture"], "1. Save",
        attention="record.attention", latent="sampler.LATENT",
    )  # fmt: skip
    graph.add(
        "load", "HRVLoadAttention", (40, 780), (400, 110), ["attention/my_picture_00001_.safetensors [output]"],
        "2. Load it another day",
    )  # fmt: skip
    graph.add("decode2", "VAEDecode", (490, 900), (240, 50), samples="load.latent", vae="loader.vae")
    graph.heatmap(
        "heatmap",
        (1480, 160),
        "fish, star",
        attention="load.attention",
        latent="load.latent",
        image="decode2.IMAGE",
    )
    for later in ("load", "decode2", "heatmap"):
        graph.nodes[later]["mode"] = MUTED
    note = (
        "**Save attention and read it later.** The upper row makes an image, and Save Attention saves what every head looked "
        "at, together with the latent, in `output/attention`.\n\n"
        "The lower row reads it: select its three nodes and press Ctrl+M to unmute them, press R, choose the file, type any word "
        "of the prompt, and run. It needs neither model nor sampler: you can delete them by then. The VAE only decodes the image "
        "underneath."
    )
    graph.save(name, note, size=(690, 190))


def main() -> None:
    which_word(
        "01_which_word_drew_what",
        "**Which word drew what?** Record Attention sits between the loader and the sampler and does not change the image. "
        "Attention Heatmap then shows, for every word, where the model looked while drawing. All words share one scale: "
        "a word that stays dark was ignored.\n\n"
        "Type one or more words into `words` and run again: the image is not sampled again.",
        text_to_image(STAR_AND_FISH), "",
    )  # fmt: skip
    which_word(
        "02_which_word_drew_what_sdxl",
        "**The same with SDXL.** Needs `sd_xl_base_1.0.safetensors` in models/checkpoints; ComfyUI offers the download "
        "when you open this workflow. Any SD1.5 or SDXL checkpoint works instead.\n\n"
        "Type words into Attention Heatmap and run again: the image is not sampled again.",
        sdxl("photo of a computer mouse and a mouse eating cheese on a wooden desk"), "mouse#1, mouse#2, cheese, desk",
    )  # fmt: skip
    which_word(
        "24_which_word_drew_what_z_image",
        "**The same with Z-Image-Turbo.** ComfyUI's own template with Record Attention put in between the loaders and the rest. "
        "ComfyUI offers the three models for download when you open this workflow (about 20 GB).\n\n"
        "Type words into `words` and run again: the image is not sampled again. For places and backgrounds, try `share`: of the text.",
        z_image("a red fox in a green scarf on a wooden bench, snow, mountains in the background"), "fox, scarf, bench, snow, mountains",
    )  # fmt: skip
    repaint("03_mask_a_word_and_repaint_it")
    save_and_read_later("10_save_attention_and_read_it_later")
    build_vectors("04_build_vectors_for_your_checkpoint")
    published_vectors("05_load_published_vectors_for_sdxl")
    report("09_why_did_my_prompt_go_wrong")
    lens("08_look_into_the_picture")
    heads_without_vectors("06_select_heads_without_vectors")
    which_mouse("07_which_mouse_sdxl")
    heatmap_by_concept("11_heatmap_by_concept")
    ordered_weakening("12_ordered_weakening")
    wrong_sense("13_wrong_sense_adjusted")
    lost_word("14_strengthen_a_lost_word")
    excite_a_missing_thing("15_excite_a_missing_thing")
    change_one_word("16_change_one_word")
    which_rose("17_which_rose")
    compare_masks("18_which_mask_is_better")
    merge_builds("19_two_builds_merged")
    words_that_can_go("20_which_words_can_go")
    what_a_lora_does("21_what_does_this_lora_do")
    sharp_masks("22_sharp_masks")
    two_recordings("23_two_recordings")
    existing_image("25_what_does_the_model_see")
    blueprints.main()


if __name__ == "__main__":
    main()
