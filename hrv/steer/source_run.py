"""What is remembered of a sampling so that its attention can be computed again: what the UNet was given.

    RunMemory ─ SourceRun (one per sampling) ─ Frame (one per evaluation and positive prompt)

The queries and keys of all layers of an evaluation follow from its input by running the UNet once more. They would take
hundreds of megabytes an evaluation; the input takes less than one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import torch

from ..prompt import Prompt
from ..runs.latents import Traces
from ..runs.shelf import NoRecording, RunShelf
from ..wording import said

Moment = tuple[str, int]
"""An evaluation's name: its sigma, and how many evaluations of the same sampling had this sigma before."""


class Moments:
    """Names the evaluations of one sampling as they come. A solver may evaluate twice at one sigma (heun)."""

    def __init__(self):
        self._seen: Counter[str] = Counter()

    def next(self, sigma: float) -> Moment:
        name = f"{sigma:.4g}"
        self._seen[name] += 1
        return name, self._seen[name] - 1


@dataclass(frozen=True, eq=False)
class Frame:
    """What the UNet was given for the images of one positive prompt in one evaluation. On the CPU.

    x: (image, channel, height, width); timesteps: (image,); context: (image, token, channel), the prompt once;
    y: (image, channel), None where the model has none. output: what the UNet made of it, like x; of a sampling's first
    evaluation only, to tell later whether a model is the same.
    """

    x: torch.Tensor
    timesteps: torch.Tensor
    context: torch.Tensor
    y: torch.Tensor | None
    output: torch.Tensor | None = None


@dataclass
class SourceRun:
    """One sampling. prompts: place among the positive prompts → its tokens, None where the words are not known.

    frames: evaluation → place → frame. denoised: evaluation → the image that the model saw in the noise, after guidance,
    (image, channel, height, width). nbytes: what all that takes. is_cut_short: the last evaluations did not fit.
    """

    prompts: dict[int, Prompt | None] = field(default_factory=dict)
    frames: dict[Moment, dict[int, Frame]] = field(default_factory=dict)
    denoised: dict[Moment, torch.Tensor] = field(default_factory=dict)
    traces: Traces = field(default_factory=Traces)
    nbytes: int = 0
    is_cut_short: bool = False
    _latest: dict[int, Frame] = field(default_factory=dict, repr=False)

    def add(self, moment: Moment, place: int, frame: Frame) -> None:
        """Keeps a frame; a text that is as it was in the evaluation before is kept once. The first of a moment counts."""
        known = self.frames.setdefault(moment, {})
        if place in known:
            return
        before = self._latest.get(place)
        if before is not None:
            frame = replace(frame, context=_once(before.context, frame.context), y=_once(before.y, frame.y))
        old = (before.context, before.y) if before is not None else ()
        tensors = (frame.x, frame.timesteps, frame.context, frame.y, frame.output)
        self.nbytes += sum(t.nbytes for t in tensors if t is not None and not any(t is o for o in old))
        known[place] = self._latest[place] = frame

    def add_denoised(self, moment: Moment, picture: torch.Tensor) -> None:
        """Keeps what an evaluation gave the sampler."""
        self.denoised[moment] = picture
        self.nbytes += picture.nbytes

    def forget(self) -> None:
        """Gives back all memory."""
        self.frames.clear()
        self.denoised.clear()
        self._latest.clear()
        self.nbytes = 0


class RunMemory(RunShelf[SourceRun]):
    """The runs of all samplers behind one Remember Run: one node may serve several samplers and several queued prompts."""

    node = said("Remember Run")
    nothing = said(
        "Nothing has been remembered yet. Connect Remember Run's model output to the first sampler, and "
        "that sampler's latent to this node. If they are already connected, ComfyUI reused the latent from "
        "its cache: change the seed and run again."
    )

    connect = said("Connect the latent that comes out of the first sampler.")

    def match(self, latent: torch.Tensor) -> tuple[SourceRun, str]:
        """The run that left this latent (batch, channel, height, width), and what to say where another node has changed the
        latent since, else "".

        Raises NoRecording, which says what to connect, and ValueError for a latent without images.
        """
        found = self.find(latent)
        run = found[0].run
        rows = [one.row for one in found if one.run is run]
        if len(rows) < len(found) or rows != list(range(len(run.traces.names))):
            raise NoRecording(
                said(
                    "This latent does not have exactly the images that one sampler made together, in the same order ({count}). Connect the "
                    "first sampler's whole latent, and give the second sampler the same number of images.",
                    count=len(found),
                )
            )
        return run, next((one.note for one in found if one.note), "")


def _once(before: torch.Tensor | None, now: torch.Tensor | None) -> torch.Tensor | None:
    """The earlier tensor where both are the same."""
    return before if before is not None and now is not None and torch.equal(before, now) else now
