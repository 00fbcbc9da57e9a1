"""Example graphs about choosing heads: two senses of a word, masks against the truth, merged builds."""

from __future__ import annotations

from workflow_graph import Graph, text_to_image

VOTES, AGREEMENT = "demo_checkpoint.safetensors", "demo_checkpoint_agreement.safetensors"
CFG = 4.5


def which_rose(name: str) -> None:
    graph = text_to_image("a rose fish on sand", cfg=CFG, part=(0.25, 0.75))
    graph.add("vectors", "HRVLoadVectors", (40, 780), (300, 110), [VOTES])
    graph.add(
        "positive2", "CLIPTextEncode", (390, 780), (340, 130), ["a blue rose on sand"], "The other rose",
        clip="record.clip",
    )  # fmt: skip
    graph.sampler(
        "sampler2 decode2", (780, 780), (7, 20, CFG), "Second sampler", model="record.model",
        positive="positive2.CONDITIONING",
    )  # fmt: skip
    for number, source, y, title in ((1, "", 60, "Rose, the colour"), (2, "2", 670, "Rose, the flower")):
        graph.add(
            f"compare{number}", "HRVCompareConcepts", (1480, y), (640, 560), ["rose", "Objects, Colours", 23.0, ""], title,
            attention="record.attention", latent=f"sampler{source}.LATENT", vectors="vectors.vectors",
            image=f"decode{source}.IMAGE",
        )  # fmt: skip
    note = (
        "**Which rose?** *rose* is a flower and a colour. Compare Concepts finds out which attention heads painted the word into the "
        "image: those that lean towards objects, or those that lean towards colours. The two verdicts differ. Record Attention keeps "
        "only the middle half of the schedule here, where the sense is clearest.\n\n"
        "Try *orange* and *mint*, the other two words with two senses here, or a prompt that leaves it open: `rose, on sand`. "
        "Another example does this for *mouse*, with SDXL and its published vectors."
    )
    graph.save(name, note)


def compare_masks(name: str) -> None:
    graph = text_to_image("a large plain blue fish on sand", cfg=CFG)
    graph.add("vectors", "HRVLoadVectors", (40, 780), (300, 110), [AGREEMENT])
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
    rows = (
        (1480, "daam", {}, "all heads (DAAM)"),
        (1940, "chosen", {"heads": "select.heads"}, "the heads for objects"),
    )
    for x, key, more, whose in rows:
        graph.heatmap(f"{key}_map", (x, 60), "fish", f"Fish, from {whose}", **more)
        graph.add(
            f"{key}_iou", "HRVMaskIoU", (x, 910), (420, 120), ["0.3,0.4,0.5,0.6"], f"How good? Mask from {whose}",
            mask=f"{key}_map.heat", truth="truth.MASK",
        )  # fmt: skip
        graph.add(
            f"{key}_table", "PreviewAny", (x, 1070), (420, 180), title=f"IoU from {whose}", source=f"{key}_iou.table"
        )  # fmt: skip
    note = (
        "**Which mask is better?** Mask IoU measures how well a word's heatmap matches a true mask, at several thresholds. On the left: all "
        "heads. On the right: the heads for objects, balanced, chosen with the demo model's vectors by agreement.\n\n"
        "The true mask here is simply everything with little red in it: a blue fish on sand. For your own images, connect a "
        "segmentation node, or a mask that you drew, to `truth`."
    )
    graph.save(name, note)


def merge_builds(name: str) -> None:
    graph = Graph()
    graph.add("loader", "HRVDemoCheckpoint", (40, 160), (300, 240))
    for seed in (1, 2):
        graph.add(
            f"build{seed}", "HRVBuildVectors", (390 + 470 * (seed - 1), 160), (420, 660),
            ["demo", "", 6, 5.0, 256, 256, seed, "fixed", 1, 12, "euler", "normal", "", "agreement"],
            f"Build {seed}: seed {seed}", model="loader.model", clip="loader.clip",
        )  # fmt: skip
    graph.add(
        "merge",
        "HRVMergeVectors",
        (1330, 160),
        (320, 70),
        vectors_a="build1.vectors",
        vectors_b="build2.vectors",
    )
    graph.add(
        "save", "HRVSaveVectors", (1330, 290), (320, 110), ["my_merged_vectors"], vectors="merge.vectors"
    )
    graph.select((1330, 460), (320, 200), "Objects", vectors="merge.vectors")
    graph.add(
        "heads", "PreviewImage", (1700, 160), (420, 300), title="Heads for objects", images="select.chart"
    )
    note = (
        "**Two builds, merged.** Two computers, or two nights: each Build Head Relevance uses the same prompts with its own seed, "
        "and Merge Head Relevance adds what they counted. The file is what one longer build would have given.\n\n"
        "Here `method` is *agreement*: which heads find the place of the concepts' words, for clean masks. 12 prompts each are not "
        "many; for your own checkpoint, choose `general` and set `prompt_limit` to 0."
    )
    graph.save(name, note, "How to use this", size=(780, 230))
