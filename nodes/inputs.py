"""Inputs and outputs that several nodes have, and what they check of them.

Where a function takes `more`, that goes to ComfyUI's input as it is: `optional=True`, `advanced=True`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from comfy_api.latest import io

from ..host.store import concept_store, vector_store
from ..hrv.draw.overlay import COLORMAPS, TINTS
from ..hrv.maps.border_peaks import BORDER_PEAKS
from ..hrv.maps.mask import MASK_THRESHOLD
from ..hrv.maps.refine import REFINE
from ..hrv.prompt import UNITS
from ..hrv.recording.path import KEPT
from ..hrv.recording.recording import SHARES
from ..hrv.relevance.best_maps import MAPS
from ..hrv.relevance.vectors import PERCENT
from .sockets import Attention, Vectors


def attention_input() -> Attention.Input:
    """What was recorded, for a node that reads it."""
    return Attention.Input("attention", tooltip="From Record Attention.")


def latent_input(what_for: str) -> io.Latent.Input:
    """The latent that tells which run a node reads."""
    return io.Latent.Input("latent", tooltip=f"Straight from the sampler. {what_for}")


def image_to_draw_on() -> io.Image.Input:
    """The image under a heatmap, where a node can do without."""
    return io.Image.Input(
        "image",
        optional=True,
        tooltip="The image to draw on, at any size; an upscaled one is fine. Without it you get the heatmap alone.",
    )


def vectors_input() -> Vectors.Input:
    """Head relevance vectors, where a node cannot do without."""
    return Vectors.Input("vectors", tooltip="From Load Head Relevance, for your kind of model.")


def fraction_input(name: str, default: float, tooltip: str, **more) -> io.Float.Input:
    """A number between 0 and 1."""
    return io.Float.Input(name, default=default, min=0.0, max=1.0, step=0.01, tooltip=tooltip, **more)


def choice_input(name: str, options: Sequence[str], tooltip: str, **more) -> io.Combo.Input:
    """A list to choose from; its first entry is the default."""
    return io.Combo.Input(name, options=list(options), default=options[0], tooltip=tooltip, **more)


def maps_input() -> io.Combo.Input:
    """Which heads a word's map is made from."""
    return choice_input(
        "maps",
        MAPS,
        optional=True,
        tooltip=(
            "best heads for each word: the heads that find the word's thing most clearly; words for places are compared with the other "
            "words. all heads (DAAM): the plain average, as in the paper."
        ),
    )


def unit_input(when: str = "") -> io.Combo.Input:
    """Whether words or tags are listed. when: “ when `words` is empty”, or nothing."""
    return choice_input(
        "unit",
        UNITS,
        tooltip=(
            f"What counts as one entry{when}: single words, or tags (the phrases between commas). auto uses "
            "tags if the prompt is mostly short phrases between commas."
        ),
    )


def percent_input(tooltip: str, **more) -> io.Float.Input:
    """How many of all heads."""
    return io.Float.Input("percent", default=PERCENT, min=0.1, max=100.0, step=0.1, tooltip=tooltip, **more)


def threshold_input(tooltip: str, **more) -> io.Float.Input:
    """Where a mask is cut."""
    return fraction_input("threshold", MASK_THRESHOLD, tooltip, **more)


def refine_input() -> io.Combo.Input:
    """Whether masks follow the edges of the image."""
    return choice_input(
        "refine",
        REFINE,
        tooltip=(
            "image edges: the mask follows the outline of the thing in the image, instead of the blurred heatmap. The plain mask is "
            "kept where the image has no clear edge near the heat. Needs `image`."
        ),
        optional=True,
    )


def schedule_inputs(
    doing: str = "", end: float = 1.0, why_end: str = ""
) -> tuple[io.Float.Input, io.Float.Input]:
    """From where to where in the schedule a node acts. doing: “ recording”, or nothing; why_end: “ And so on.”"""
    return (
        fraction_input(
            "start_percent",
            0.0,
            f"Start{doing} at this point in the schedule: 0 is pure noise.",
            advanced=True,
        ),
        fraction_input(
            "end_percent",
            end,
            f"Stop{doing} at this point in the schedule: 1 is the finished image.{why_end}",
            advanced=True,
        ),
    )


def strength_input(tooltip: str) -> io.Float.Input:
    """How strongly words are steered."""
    return io.Float.Input("strength", default=1.0, min=-10.0, max=10.0, step=0.05, tooltip=tooltip)


def clamp_input() -> io.Float.Input:
    """The largest relevance of a head that steers."""
    return io.Float.Input(
        "clamp",
        default=0.0,
        min=0.0,
        max=1000.0,
        step=0.5,
        advanced=True,
        tooltip="Upper limit for a head's relevance. 0 is automatic: 9 for SDXL, no limit for SD 1.x.",
    )


def memory_limit_input(default: int, tooltip: str) -> io.Int.Input:
    """How much may be kept, in MB."""
    return io.Int.Input("memory_limit_mb", default=default, min=16, max=65536, advanced=True, tooltip=tooltip)


def passing_clip_input() -> io.Clip.Input:
    """A CLIP that goes through a steering node, which then knows the words that it encodes."""
    return io.Clip.Input(
        "clip",
        optional=True,
        tooltip=(
            "Only needed if your text nodes don't get their CLIP from Record Attention. Pass their CLIP "
            "through here, so that this node knows the words of the prompt."
        ),
    )


def clip_output() -> io.Clip.Output:
    """The CLIP of a node that needs to know the words."""
    return io.Clip.Output(
        display_name="clip",
        tooltip="The same CLIP; it now tracks which words it encodes. Connect it to your text nodes.",
    )


def prompt_text_input() -> io.String.Input:
    """The text of the prompt, where no traced CLIP knows it."""
    return io.String.Input(
        "prompt_text",
        default="",
        multiline=True,
        optional=True,
        advanced=True,
        placeholder="only if CLIP doesn't come from Record Attention",
        tooltip="Only needed if your CLIP doesn't go through Record Attention: the prompt as you typed it.",
    )


def filename_prefix_input(default: str, where: str = "") -> io.String.Input:
    """What a saved file is called. where: “ in the output folder”, or nothing."""
    return io.String.Input(
        "filename_prefix",
        default=default,
        tooltip=(
            f"Name of the file{where}. A number is added, so nothing is ever overwritten. A / in the name makes a folder."
        ),
    )


def concept_input(name: str, tooltip: str, default: str = "Animals", **more) -> io.Combo.Input:
    """A list of the concepts of all vectors that can be loaded.

    The node must name this input in its `validate_inputs`, so that concepts of vectors which are built in the same
    graph, and are in no file yet, are let through; `HeadRelevance.index` says so if the vectors do not have it.
    """
    return io.Combo.Input(name, options=vector_store.concepts(), default=default, tooltip=tooltip, **more)


def concept_set_input(
    name: str, tooltip: str, first: tuple[str, ...] = (), default: str = "general", **more
) -> io.Combo.Input:
    """A list of the sets of concept words; `first` are choices that are not sets."""
    return io.Combo.Input(
        name, options=[*first, *concept_store.choices()], default=default, tooltip=tooltip, **more
    )


def accepted(parse: Callable[[str], object], value) -> bool | str:
    """For `validate_inputs`: True if `parse` takes what was typed (None: the input is connected); else what it says."""
    try:
        if value is not None:
            parse(value)
    except ValueError as error:
        return str(error)
    return True


def typed(what_to_do: str, *values) -> bool | str:
    """For `validate_inputs`: True if something was typed into each (None: the input is connected); else what to do."""
    return all(value is None or str(value).strip() for value in values) or what_to_do


def share_input() -> io.Combo.Input:
    """What the maps of joint attention are shares of."""
    return choice_input(
        "share",
        SHARES,
        (
            "For models whose image looks at the text and at itself in one attention (Flux, Z-Image, Qwen-Image …): of everything: how much "
            "of all it looks at goes to the word; better for things and colours. of the text: how much of what it looks at in the text; "
            "better for places and backgrounds. For SD and SDXL both are the same."
        ),
        optional=True,
        advanced=True,
    )


def border_peaks_input() -> io.Combo.Input:
    """Whether a peak that stands alone at the edge of a map counts."""
    return choice_input(
        "border_peaks",
        BORDER_PEAKS,
        (
            "Some models put a word's highest attention into a corner, although nothing of it is there. left out: such a peak, alone at the "
            "edge, doesn't dim the rest and isn't in the mask; a note names the words. kept: the map as it was recorded."
        ),
        optional=True,
        advanced=True,
    )


def also_look_for_input(**more) -> io.String.Input:
    """Words that are not in the prompt."""
    return io.String.Input(
        "also_look_for",
        default="",
        placeholder="not in the prompt: tree, dog",
        optional=True,
        tooltip=(
            "Words that are not in the prompt, separated by commas: where the model would look for them in this image. A guess, which doesn't "
            "say whether they are there. The image and the heatmaps of the prompt's words don't change. Needs `clip`. SD and SDXL only."
        ),
        **more,
    )


def moments_input(who: str) -> io.Int.Input:
    """At how many evaluations of a run a model is asked again. who: “the model is”, or “the models are”."""
    return io.Int.Input(
        "moments",
        default=3,
        min=1,
        max=KEPT,
        optional=True,
        tooltip=f"At how many steps of the run {who} asked. More is closer to sampling again and takes longer.",
    )


def tint_input(no_heat: str, more: str = "") -> io.Combo.Input:
    """Where colours cover an image. no_heat: “where the word has no heat”."""
    return choice_input(
        "tint",
        TINTS,
        f"Where the colours cover the image. where it is hot: the image stays as it is {no_heat}. everywhere: the colours cover all of it{more}.",
        optional=True,
        advanced=True,
    )


def drawing_inputs(begins: str, strip: str, no_heat: str) -> list[io.Input]:
    """How changes are drawn over an image: threshold, alpha, colormap, caption, tint. begins: where the mask begins; strip: what it says;
    no_heat: as `tint_input` has it."""
    return [
        threshold_input(begins, optional=True, advanced=True),
        fraction_input(
            "alpha",
            0.6,
            "How strongly the heat covers the image: 0 is the image alone, 1 the heat alone.",
            optional=True,
            advanced=True,
        ),
        choice_input("colormap", COLORMAPS, "Colours of the heat.", optional=True, advanced=True),
        io.Boolean.Input(
            "caption",
            default=True,
            optional=True,
            advanced=True,
            tooltip=f"Adds a strip below each image {strip}.",
        ),
        tint_input(no_heat),
    ]
