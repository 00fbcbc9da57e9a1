"""Example graphs about choosing heads: for a word, by a concept, masks against the truth, vectors of one's own. Standard library only."""

from __future__ import annotations

from workflow_graph import DAAM, Graph, sdxl, text_to_image

AGREEMENT, BY_VOTES = "demo_checkpoint_agreement.safetensors", "demo_checkpoint.safetensors"
PUBLISHED = "SDXL: 34 published concepts (downloads 177 kB once)"
CFG = 4.5


def which_mouse(name: str) -> None:
    graph = sdxl("photo of a small mouse beside a keyboard on a wooden desk")
    graph.add("vectors", "HRVLoadVectors", (40, 840), (300, 110), [PUBLISHED])
    graph.add(
        "compare", "HRVCompareConcepts", (1480, 160), (640, 620), ["mouse", "Animals, Electronics", 23.0, ""],
        attention="record.attention", latent="sampler.LATENT", vectors="vectors.vectors", image="decode.IMAGE",
    )  # fmt: skip
    graph.select((390, 780), (340, 200), "Animals")
    graph.add(
        "filter",
        "HRVFilterHeads",
        (780, 780),
        (300, 160),
        ["all", "all", "", "shared by both"],
        heads="select.heads",
    )
    graph.heatmap("heatmap", (2160, 160), "mouse", "Mouse, from the heads for animals", heads="filter.heads")
    graph.add(
        "chart", "PreviewImage", (1130, 620), (300, 380), title="Where these heads are", images="select.chart"
    )
    note = (
        "**Which mouse?** *mouse* is an animal or a device. Compare Concepts looks at the word through the heads that care about "
        "animals and through those that care about electronics, and tells you which one the model drew. Select Heads by Concept takes the "
        "heads for animals alone, for Attention Heatmap; Filter Heads can narrow them to a part of the network.\n\n"
        "Needs `sd_xl_base_1.0.safetensors`; any SDXL checkpoint works. Load Head Relevance downloads the published vectors once (177 kB). Try "
        "other words with two meanings: *crane*, *bat*, *orange*."
    )
    graph.save(name, note, size=(690, 230))


def transformer(name: str) -> None:
    graph = text_to_image(
        "a large red star and a small blue fish on sand", seed=4, cfg=CFG, network="transformer"
    )
    graph.add(
        "auto", "HRVAutoHeads", (1130, 540), (300, 230), ["fish", 23.0, ""],
        attention="record.attention", latent="sampler.LATENT",
    )  # fmt: skip
    graph.heatmap("heatmap", (1480, 160), "fish", "Fish, from the heads that found it", heads="auto.heads")
    graph.heatmap("daam", (1890, 160), "fish", "Fish, from all heads", maps=DAAM)
    graph.add(
        "chart", "PreviewImage", (440, 780), (650, 340), title="Where these heads are", images="auto.chart"
    )
    note = (
        "**Which word drew what, in a transformer.** This demo model is built like Z-Image and Lumina 2: image and text share one attention. "
        "Record Attention records it all the same. Most of its heads look past the thing that a word names. Select Heads for a Word "
        "picks the heads that found it, from the recording alone, and the left heatmap averages only these. The right one averages "
        "all heads (DAAM).\n\n"
        "The same nodes work with Z-Image, Flux, Qwen-Image and others, and with SD1 and SDXL. To see another word, type it into the three nodes; "
        "nothing is sampled again."
    )
    graph.save(name, note)


def compare_masks(name: str) -> None:
    graph = text_to_image("a large plain blue fish on sand", cfg=CFG)
    graph.add("vectors", "HRVLoadVectors", (40, 840), (300, 110), [AGREEMENT])
    graph.select((390, 680), (340, 200), "Objects", "balanced")
    graph.add("red", "ImageToMask", (780, 680), (300, 60), ["red"], "How red is it?", image="decode.IMAGE")
    graph.add("little", "InvertMask", (1130, 680), (220, 30), title="How little red?", mask="red.MASK")
    graph.add(
        "truth",
        "ThresholdMask",
        (780, 830),
        (260, 60),
        [0.5],
        "The true mask of the fish",
        mask="little.MASK",
    )
    graph.add("shown", "MaskPreview", (1130, 800), (300, 330), title="The true mask", mask="truth.MASK")
    columns = (
        (1480, "daam", {"maps": DAAM}, "all heads (DAAM)"),
        (1880, "best", {}, "the word's best heads"),
        (2280, "chosen", {"heads": "select.heads"}, "the heads for objects"),
    )
    for x, key, more, whose in columns:
        graph.heatmap(f"{key}_map", (x, 60), "fish", f"Fish, from {whose}", **more)
        graph.add(
            f"{key}_iou", "HRVMaskIoU", (x, 910), (360, 120), ["0.3,0.4,0.5,0.6"], f"How good? Mask from {whose}",
            mask=f"{key}_map.heat", truth="truth.MASK",
        )  # fmt: skip
        graph.add(
            f"{key}_table", "PreviewAny", (x, 1070), (360, 180), title=f"IoU from {whose}", source=f"{key}_iou.table"
        )  # fmt: skip
    note = (
        "**Which mask is better?** Mask IoU measures how well a word's heatmap matches a true mask, at several thresholds. On the left: all "
        "heads. In the middle: the heads that find this word best, which need nothing else. On the right: the heads for objects, balanced, "
        "chosen with the demo model's vectors by agreement.\n\n"
        "The true mask here is simply everything with little red in it: a blue fish on sand. For your own images, connect a "
        "segmentation node, or a mask that you drew, to `truth`."
    )
    graph.save(name, note)


def build_vectors(name: str) -> None:
    graph = Graph()
    graph.add("loader", "HRVDemoCheckpoint", (40, 160), (300, 270), ["UNet"])
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
    graph.add(
        "earlier", "HRVLoadVectors", (1270, 900), (420, 110), [BY_VOTES], "Another build of this checkpoint"
    )
    graph.add(
        "merge",
        "HRVMergeVectors",
        (860, 610),
        (360, 70),
        vectors_a="build.vectors",
        vectors_b="earlier.vectors",
    )
    graph.add(
        "both", "HRVSaveVectors", (860, 740), (360, 110), ["my_merged_vectors"], vectors="merge.vectors"
    )
    note = (
        "**Build vectors for your checkpoint.** Build Head Relevance generates images, and at every step each attention head votes "
        "for the concept that it looks at most. Here it uses 40 prompts at 8 steps with the demo checkpoint, which takes a few "
        "minutes.\n\n"
        "For your own checkpoint, replace Load Demo Checkpoint with your loader, choose `general`, set width, height, steps and "
        "cfg to your usual values, and set `prompt_limit` to 0. This takes a few hours. Cancel whenever you like: what was counted "
        "is saved in models/hrv, and you can continue from it with `continue_from`. Two computers, or two nights: Merge Head Relevance adds what two "
        "builds with different seeds counted. For clean masks, choose *agreement* as `method`."
    )
    graph.save(name, note, "How to use this", size=(780, 270))
