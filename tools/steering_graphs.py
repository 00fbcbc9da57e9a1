"""Example graphs in which words are weakened, strengthened, adjusted, excited or changed.

The prompts and seeds of most stand in examples.py. Standard library only.
"""

from __future__ import annotations

from examples import BY_VOTES, CFG, COLOUR, LOST_WORD, MISSING, SIDE, STEPS, WRONG_SENSE, Example
from workflow_graph import Graph, text_to_image

MIDDLE = (0.25, 0.75)  # of the schedule: where a word's sense is clearest


def ordered_weakening(name: str) -> None:
    graph = Graph()
    graph.add("loader", "HRVDemoCheckpoint", (40, 160), (300, 270), ["UNet"])
    graph.add("vectors", "HRVLoadVectors", (40, 490), (300, 110), [BY_VOTES])
    graph.add(
        "sweep", "HRVHeadSweep", (390, 330), (300, 170), ["Colours", 5, "both"], vectors="vectors.vectors"
    )
    graph.add(
        "scale", "HRVScaleHeads", (740, 160), (320, 250), ["red", -2.0, 0.0, 1.0, False], "Weaken these heads for “red”",
        model="loader.model", heads="sweep.heads", clip="loader.clip",
    )  # fmt: skip
    graph.add(
        "positive",
        "CLIPTextEncode",
        (740, 460),
        (320, 110),
        ["a large plain red star on sand"],
        "Prompt",
        clip="scale.clip",
    )
    graph.add("negative", "CLIPTextEncode", (740, 620), (320, 90), [""], "Negative prompt", clip="scale.clip")
    graph.add("empty", "EmptyLatentImage", (740, 775), (320, 110), [256, 256, 1])
    graph.sampler("sampler decode", (1110, 160), (7, 15, 4.5), model="scale.model")
    graph.add(
        "curve", "HRVWeakeningCurve", (1460, 160), (460, 420), ["“red”, weakened by −2"],
        count="sweep.count", order="sweep.order", image="decode.IMAGE",
    )  # fmt: skip
    graph.add("strip", "PreviewImage", (1460, 630), (900, 420), title="The images", images="curve.strip")
    note = (
        "**Do these vectors mean anything?** Heads in Order takes more and more heads, the most relevant for *Colours* first, "
        "then the least relevant first. Scale Heads makes them work against *red*, and every node after it runs once per entry. "
        "If the vectors are right, the colour disappears sooner in the upper row.\n\n"
        "Weakening Curve plots whatever score you connect; here, with images alone, it plots how similar each one is to the first."
    )
    graph.save(name, note, "How to use this")


def steered(example: Example, kind: str, concepts: list[str], title: str, part=(0.0, 1.0)) -> Graph:
    """The example's picture, and below it the same seed through a steering node of this kind. part: of the schedule, that is recorded."""
    graph = text_to_image(example.prompt, SIDE, example.seed, STEPS, CFG, part=part)
    graph.add("vectors", "HRVLoadVectors", (40, 840), (300, 110), [BY_VOTES])
    graph.add(
        "steer", kind, (390, 780), (340, 320), [*concepts, example.words, example.strength, 0.0, 0.0, 1.0, False], title,
        model="record.model", vectors="vectors.vectors",
    )  # fmt: skip
    same_seed_again(graph, example, "steer", "steered")
    return graph


def same_seed_again(graph: Graph, example: Example, node: str, how: str) -> None:
    """A lower row: the same seed through the model of this node."""
    settings = (example.seed, STEPS, CFG)
    graph.sampler("sampler2 decode2", (780, 780), settings, f"The same seed, {how}", model=f"{node}.model")
    graph.add(
        "save2", "SaveImage", (1130, 780), (300, 330), [f"hrv/{how}"], f"The {how} image", images="decode2.IMAGE"
    )  # fmt: skip
    graph.before_and_after((2300, 160), (400, 460))


def where_it_looked(graph: Graph, example: Example, how: str) -> None:
    """A heatmap of the example's words beside each of the two rows."""
    for number, source, title in ((1, "", "Where the model looked"), (2, "2", f"Where it looked, {how}")):
        graph.heatmap(f"heatmap{number}", (1070 + 410 * number, 160), example.words, title, of=source)


def wrong_sense(name: str) -> None:
    example = WRONG_SENSE
    concepts = [example.concept, example.unwanted]
    graph = steered(example, "HRVAdjustConcept", concepts, "2. Switch to the other sense", MIDDLE)
    graph.add(
        "compare", "HRVCompareConcepts", (1480, 160), (640, 560), [example.words, ", ".join(concepts), 23.0, ""],
        "1. Which sense was drawn?", attention="record.attention", latent="sampler.LATENT", vectors="vectors.vectors",
        image="decode.IMAGE",
    )  # fmt: skip
    note = (
        f"**Wrong sense, adjusted.** *{example.words}* is both a leaf and a colour here. The leaf was meant, but the upper row drew a tree in "
        f"the colour. Compare Concepts says which sense it was. Adjust Concept turns the word towards *{example.concept}* and away "
        f"from *{example.unwanted}*, and the lower row uses the same seed again.\n\n"
        "The verdict is about the upper image only, and reads the middle half of the schedule, where the sense is clearest. Record Attention keeps what the model looked at, not what Adjust Concept made "
        "of it, so a verdict on the lower image would not tell you what was drawn."
    )
    graph.save(name, note, "How to use this")


def lost_word(name: str) -> None:
    example = LOST_WORD
    graph = steered(example, "HRVStrengthenConcept", [example.concept], f"Strengthen “{example.words}”")
    where_it_looked(graph, example, "strengthened")
    note = (
        f"**Strengthen a lost word.** The prompt asks for a *{example.words}*, but the upper image has a leaf in its place. Strengthen Concept "
        f"makes the heads that care about *{example.concept}* look at the word more, and the lower row uses the same seed again.\n\n"
        "Raise `strength` until the word appears, and no further: too much spoils the rest."
    )
    graph.save(name, note, "How to use this")


def excite_a_missing_thing(name: str) -> None:
    example = MISSING
    graph = text_to_image(example.prompt, SIDE, example.seed, STEPS, CFG)
    graph.add(
        "excite", "HRVAttendExcite", (390, 780), (340, 320),
        [example.words, example.strength, 0.0, 0.5, "Objects", True], "Both things must be there", model="record.model",
    )  # fmt: skip
    same_seed_again(graph, example, "excite", "excited")
    where_it_looked(graph, example, "excited")
    note = (
        f"**Something is missing.** The prompt asks for two things, *{example.words.replace(', ', '* and *')}*, but the upper image "
        "has only one of them. Attend and Excite nudges the latent, step by step, until each word gets attention somewhere. The "
        "lower row uses the same seed again.\n\n"
        "Name all things that must be in the image, including those that are there already. You don't need head relevance; if "
        "`vectors` is connected, heads count in proportion to how much they care about the concept."
    )
    graph.save(name, note, "How to use this")


def change_one_word(name: str) -> None:
    graph, example = Graph(), COLOUR
    graph.add("loader", "HRVDemoCheckpoint", (40, 160), (300, 270), ["UNet"])
    graph.add(
        "remember", "HRVRememberRun", (40, 490), (300, 130), [256], model="loader.model", clip="loader.clip"
    )
    graph.add("empty", "EmptyLatentImage", (40, 680), (300, 110), [256, 256, 1])
    graph.add(
        "negative", "CLIPTextEncode", (390, 340), (340, 100), [""], "Negative prompt", clip="remember.clip"
    )
    for number, y, text, title in (
        (1, 160, example.before, "1. The first prompt"),
        (2, 740, example.after, "2. One word changed"),
    ):
        graph.add(
            f"positive{number}", "CLIPTextEncode", (390, y), (340, 130), [text], title,
            clip="remember.clip",
        )  # fmt: skip
    settings = [example.seed, "fixed", STEPS, CFG, "euler", "normal", 1.0]
    graph.add(
        "sampler1", "KSampler", (780, 160), (300, 270), settings, "First sampler", model="remember.model",
        positive="positive1.CONDITIONING", negative="negative.CONDITIONING", latent_image="empty.LATENT",
    )  # fmt: skip
    graph.add(
        "edit", "HRVPromptEdit", (390, 920), (340, 330),
        [example.cross, example.own, "the old word's place", "Colours", "", 1.0, 0.0, "all"],
        model="remember.model", source="remember.source", latent="sampler1.LATENT",
    )  # fmt: skip
    graph.add(
        "sampler2", "KSampler", (780, 780), (300, 270), settings, "Second sampler: the same seed", model="edit.model",
        positive="positive2.CONDITIONING", negative="negative.CONDITIONING", latent_image="empty.LATENT",
    )  # fmt: skip
    for number, x, title in ((1, 1130, "The first image"), (2, 1480, "With one word changed")):
        y = 510 if number == 1 else 1130
        graph.add(
            f"decode{number}",
            "VAEDecode",
            (780, y),
            (300, 50),
            samples=f"sampler{number}.LATENT",
            vae="loader.vae",
        )
        graph.add(
            f"save{number}", "SaveImage", (x, 160), (330, 380), [f"hrv/word_{number}"], title,
            images=f"decode{number}.IMAGE",
        )  # fmt: skip
    graph.before_and_after((1130, 600), (680, 620), "decode1", "decode2")
    note = (
        "**Change one word.** The upper row makes an image, and Remember Run remembers what the sampler does. Edit Prompt then makes "
        "the second sampler look where the first one looked, while *red* becomes *blue*: the rest of the image stays.\n\n"
        "Both samplers need the same seed, steps, sampler and scheduler. To change the shape, lower both percentages; to make "
        "the new word count more, connect Load Head Relevance to `vectors`."
    )
    graph.save(name, note, "How to use this")
