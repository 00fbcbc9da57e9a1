"""Example graphs that look at an image: heatmaps, lens, report, masks, what words and models did, recordings. Standard library only."""

from __future__ import annotations

from workflow_graph import STAR_AND_FISH, Graph, sdxl, text_to_image, z_image

MUTED = 2  # a node's mode in ComfyUI's page: it does not run


def words_of(name: str, note: str, graph: Graph, words: str) -> None:
    """Saves the graph with a heatmap of these words."""
    graph.heatmap("heatmap", (1480, 60), words)
    graph.nodes["heatmap"]["size"] = [520, 960]
    app = (["positive.text", "sampler.seed"], ["save", "heatmap"])
    graph.save(name, note, size=(690, 190), app=app)


def which_word(name: str) -> None:
    note = (
        "**Which word drew what?** Record Attention sits between the loader and the sampler and does not change the image. "
        "Attention Heatmap then shows, for every word, where the model looked while drawing. All words share one scale: "
        "a word that stays dark was ignored.\n\n"
        "Type one or more words into `words` and run again: the image is not sampled again."
    )
    words_of(name, note, text_to_image(STAR_AND_FISH), "")


def which_word_sdxl(name: str) -> None:
    note = (
        "**The same with SDXL.** Needs `sd_xl_base_1.0.safetensors` in models/checkpoints; ComfyUI offers the download "
        "when you open this workflow. Any SD1.5 or SDXL checkpoint works instead.\n\n"
        "Type words into Attention Heatmap and run again: the image is not sampled again."
    )
    prompt = "photo of a computer mouse and a mouse eating cheese on a wooden desk"
    words_of(name, note, sdxl(prompt), "mouse#1, mouse#2, cheese, desk")


def which_word_z_image(name: str) -> None:
    note = (
        "**The same with Z-Image-Turbo.** ComfyUI's own template with Record Attention put in between the loaders and the rest. "
        "ComfyUI offers the three models for download when you open this workflow (about 20 GB).\n\n"
        "Type words into `words` and run again: the image is not sampled again. For places and backgrounds, try `share`: of the text."
    )
    prompt = "a red fox in a green scarf on a wooden bench, snow, mountains in the background"
    words_of(name, note, z_image(prompt), "fox, scarf, bench, snow, mountains")


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
        (),
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


def repaint(name: str) -> None:
    graph = text_to_image(STAR_AND_FISH)
    graph.heatmap("heatmap", (1480, 160), "fish", "Where the fish is", refine="image edges")
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
    graph.add(
        "mask", "MaskPreview", (1890, 620), (360, 360), title="The mask of the word", mask="heatmap.mask"
    )
    note = (
        "**Mask a word and repaint it.** Attention Heatmap finds where *fish* was drawn, and with `refine` set to *image edges* its mask takes "
        "the outline of the fish in the image. The mask goes through Grow Mask into Set Latent Noise Mask, and the second KSampler repaints "
        "only there.\n\n"
        "Change the word in Attention Heatmap to mask something else: the first image is not sampled again. With `refine` set to *none* you "
        "see the plain mask: the heatmap cut at the threshold."
    )
    app = (
        ["positive.text", "heatmap.words", "repaint_text.text", "sampler.seed"],
        ["save", "heatmap", "save2"],
    )
    graph.save(name, note, size=(690, 190), app=app)


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
    graph.add("text", "PreviewAny", (2050, 160), (460, 660), (), "All words, sorted", source="effect.report")
    note = (
        "**Which words can go?** What Each Word Did leaves out one word at a time and asks the model again at three steps of this run. "
        "No image is sampled again. The strongest word comes first; words that do nothing here can go.\n\n"
        "Type a word into `replace_with` to ask what it would do in each word's place. It also works with models whose attention cannot be recorded: put your own loader "
        "in the place of Load Demo Checkpoint."
    )
    graph.save(name, note, size=(690, 190))


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
    graph.add("xray", "HRVRecordImage", (1130, 640), (300, 230), [5, 0, "fixed", "house"],
              model="loader.model", positive="positive.CONDITIONING", latent="encode.LATENT", clip="loader.clip")  # fmt: skip
    graph.heatmap(
        "heatmap", (1480, 160), "star, fish, house", attention="xray.attention", latent="xray.latent"
    )
    graph.nodes["heatmap"]["size"] = [540, 820]  # three tiles beside each other
    note = (
        "**What does this model see in my image?** X-Ray an Image needs no sampling: it noises an encoded image a little and runs the "
        "model once at five noise levels. Attention Heatmap then shows where it sees each word of the prompt.\n\n"
        "Here the image is one that the upper row made. Put a Load Image node in its place, and describe that image in the prompt. Record "
        "Attention is only needed for its `clip`, so that the words are known.\n\n"
        "`also_look_for` asks for *house* as well, which is not in the prompt. Take that heatmap as a guess: on the demo model it lies on the left thing, "
        "whatever you ask for."
    )
    graph.save(name, note, size=(690, 250))


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
        (),
        "In words and numbers",
        source="effect.report",
    )
    graph.sampler(
        "second decode2", (780, 700), (7, 15, 4.5), "To check: sampled with the LoRA", model="lora.MODEL"
    )
    graph.before_and_after((1130, 700), (300, 400))
    graph.add(
        "with_lora",
        "PreviewImage",
        (1480, 830),
        (300, 330),
        title="Sampled with the LoRA",
        images="decode2.IMAGE",
    )
    note = (
        "**What does this LoRA do here?** What a Model Change Did asks the model with and without the LoRA at three steps of this run, without "
        "sampling again, and shows where they differ. This LoRA puts a white border around things: the heat lies around the star. The second "
        "sampler is only there to check.\n\n"
        "Try another `strength`. For your own LoRA, put your loader in the place of Load Demo Checkpoint; for a ControlNet, connect the same model twice and the "
        "other conditioning to `other_positive`."
    )
    graph.save(name, note, size=(690, 190))


def save_and_read_later(name: str) -> None:
    graph = text_to_image(STAR_AND_FISH)
    graph.add(
        "keep", "HRVSaveAttention", (1130, 540), (300, 140), ["attention/my_picture"], "1. Save",
        attention="record.attention", latent="sampler.LATENT",
    )  # fmt: skip
    graph.add(
        "load", "HRVLoadAttention", (40, 840), (400, 110), ["attention/my_picture_00001_.safetensors [output]"],
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
