"""What is remembered of a sampling so that its attention can be computed again: what the UNet was given.

    RunMemory ─ SourceRun (one per sampling) ─ Frame (one per evaluation and positive prompt)

The queries and keys of all layers of an evaluation follow from its input by running the UNet once more. They would take
hundreds of megabytes an evaluation; the input takes less than one.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field, replace

import torch

from .prompt import Prompt
from .recording import NoRecording, fingerprints_kept

MAX_RUNS = 16
NOTHING = (
    "Nothing has been remembered yet. Connect Remember Run's model output to the first sampler, and that sampler's latent to "
    "this node."
)
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
    """What the UNet was given for the pictures of one positive prompt in one evaluation. On the CPU.

    x: (picture, channel, height, width); timesteps: (picture,); context: (picture, token, channel), the prompt once;
    y: (picture, channel), None where the model has none. output: what the UNet made of it, like x; of a sampling's first
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

    frames: evaluation → place → frame. denoised: evaluation → the picture that the model saw in the noise, after guidance,
    (picture, channel, height, width). nbytes: what all that takes. is_cut_short: the last evaluations did not fit.
    """

    prompts: dict[int, Prompt | None] = field(default_factory=dict)
    frames: dict[Moment, dict[int, Frame]] = field(default_factory=dict)
    denoised: dict[Moment, torch.Tensor] = field(default_factory=dict)
    fingerprints: list[str] = field(default_factory=list)
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


class RunMemory:
    """A bounded list of runs: one Remember Run may serve several samplers and several queued prompts.

    memory_limit: bytes that all runs together may take; the oldest are forgotten first, the newest never. problem: why
    nothing can be remembered.
    """

    def __init__(self, memory_limit: int, problem: str | None = None):
        self.memory_limit = memory_limit
        self.problem = problem
        self._runs: deque[SourceRun] = deque(maxlen=MAX_RUNS)
        self._lock = threading.Lock()

    def add(self, run: SourceRun) -> None:
        """Keeps a finished run."""
        with self._lock:
            self._runs.append(run)
            while len(self._runs) > 1 and sum(r.nbytes for r in self._runs) > self.memory_limit:
                self._runs.popleft()

    def match(self, latent: torch.Tensor) -> tuple[SourceRun, bool]:
        """The run that made this latent (batch, channel, height, width), and True; or the newest run, and False.

        Raises NoRecording when nothing was remembered at all.
        """
        with self._lock:
            runs = list(self._runs)
        if not runs:
            raise NoRecording(self.problem or NOTHING)
        names = fingerprints_kept(latent)
        found = next((run for run in reversed(runs) if run.fingerprints in names), None)
        return (found, True) if found is not None else (runs[-1], False)


def _once(before: torch.Tensor | None, now: torch.Tensor | None) -> torch.Tensor | None:
    """The earlier tensor where both are the same."""
    return before if before is not None and now is not None and torch.equal(before, now) else now
