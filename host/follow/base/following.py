"""What recording and steering have in common while they follow a sampling: rows, layers, warnings, and errors that end the
following but never the sampling."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, ClassVar, TypeVar

import torch

from ....hrv.heads.layout import Layout
from ....hrv.prompt import Prompt
from ....hrv.recording.absence import ZEROED
from ...facts.cancel import CANCELS
from ...facts.layers import attend, cross_attention_layers, has_foreign_forward
from ...facts.rows import POSITIVE, Chunk, Conditionings, Owner, chunks_of, is_zeroed
from ...page import log
from ...text.clip_trace import TextRegistry, find_prompt, registries_of

OUT_OF_MEMORY = (MemoryError, torch.cuda.OutOfMemoryError)

Values = Callable[..., torch.Tensor]
"""(number of the layer, its module, q, k, v, extra_options) → the v that the layer goes on with."""


NOT_FOLLOWED = "the sampler took no step, or another node runs the model in a way that cannot be followed."
LOSSES = ("words", "rows", "tiles", "prompt", "fit", "layer", "own way")
"""Causes of the warnings that say why something was not followed."""

Followed = TypeVar("Followed")


class Following:
    """Follows one sampling. Methods may raise; callers wrap them in `guarded`."""

    doing: ClassVar[str]  # "Recording", as a sentence begins
    done: ClassVar[str]  # "recorded", as a sentence ends
    consequence: ClassVar[str]  # what an error means for the picture

    def __init__(self, layout: Layout, warnings: list[str]):
        self.layout = layout
        self.warnings = warnings
        self.conditionings: Conditionings | None = None
        self.failed = False
        self.lock = threading.RLock()  # several GPUs run their chunks in threads
        self.awaited: set[int] = set()  # layers that were to come by an entry of ours
        self.reached: set[int] = set()  # of these, those that did
        self.lost: dict[str, str] = {}  # warnings that say what could not be followed, by cause
        self._warned: set[str] = set()

    @contextlib.contextmanager
    def guarded(self, at: str):
        """An error inside ends the following with one warning, and lets the sampling go on. A cancel passes through."""
        try:
            yield
        except CANCELS:
            raise
        except Exception as error:
            self.abandon(at, error)

    def abandon(self, at: str, error: Exception) -> None:
        """Ends the following after an error, and says why."""
        self.end(f"{self.doing} stopped while {at} ({cause_of(error)}). {self.consequence}")
        logging.debug("[HRV] %s stopped", self.doing, exc_info=error)

    def end(self, reason: str) -> None:
        """Ends the following with a warning. The first reason counts."""
        with self.lock:
            if self.failed:
                return
            self.failed = True
            self.free()
            self.warn(reason)

    def free(self) -> None:
        """Gives back what was taken, when the following ends early."""

    def warn(self, message: str, cause: str | None = None) -> None:
        """Notes a warning and says it in the log, once for each cause (the message itself if not given)."""
        with self.lock:
            if cause in LOSSES:
                self.lost.setdefault(cause, message)
            if (cause or message) in self._warned:
                return
            self._warned.add(cause or message)
            self.warnings.append(message)
            log.warn(message)

    def known_prompts(
        self, guider, registries: Iterable[TextRegistry], unknown: str
    ) -> Iterator[tuple[Owner, Prompt]]:
        """Takes the guider's conditionings; the positive ones whose words are known, and the warning `unknown` for others."""
        self.conditionings = Conditionings(guider)
        registries = [*registries_of(owner.cond for owner in self.conditionings), *registries]
        for owner in self.conditionings:
            if owner.role != POSITIVE:
                continue
            prompt, warning = find_prompt(owner.cond, registries)
            if prompt is None:
                self.lost["words"] = warning or why_unknown(owner, unknown)
                self.warn(self.lost["words"])
                continue
            if warning:
                self.warn(warning)
            yield owner, prompt

    def evaluated(self, lists, latent: tuple[int, int]):
        """A context in which these lists, which `cond_or_uncond` points into, are evaluated on a latent of (height, width)."""
        known = self.conditionings
        return contextlib.nullcontext() if known is None else known.evaluated(lists)

    def chunks(self, x: torch.Tensor, transformer_options: dict[str, Any]) -> list[Chunk]:
        """The chunks of x (chunk · batch, channel, height, width); none, with a warning, when they cannot be told."""
        chunks = chunks_of(x.shape[0], transformer_options)
        if not chunks:
            self.warn(
                f"The batch of {x.shape[0]} rows does not divide into {len(transformer_options['uuids'])} prompts, because "
                f"another node multiplies rows. Those steps were not {self.done}.",
                cause="rows",
            )
        return chunks

    def with_entries(
        self, unet, options: dict[str, Any], values: Values, layers: Collection[int] | None = None
    ) -> dict[str, Any]:
        """A copy of the UNet's transformer_options with an entry for these cross-attention layers (None: all), which calls
        `values` and then does what the layer would have done. Nothing refers back to the copy: it dies with the call."""
        replace = options.get("patches_replace", {})
        attn2 = dict(replace.get("attn2", {}))
        wanted = range(len(self.layout.blocks)) if layers is None else layers
        self.awaited.update(wanted)
        for block, module in cross_attention_layers(unet):
            number = self.layout.numbers.get(block.key, -1)
            if number not in wanted or self.layout.blocks[number] != block:
                continue
            occupant = attn2.get(block.key, attn2.get(block.key[:2]))
            if occupant is None and has_foreign_forward(module):
                continue  # an entry would silence it
            attn2[block.key] = self._entry(number, module, values, options, occupant)
        return {**options, "patches_replace": {**replace, "attn2": attn2}}

    def _entry(self, number: int, module, values: Values, options: dict[str, Any], occupant):
        at = f"at layer {self.layout.blocks[number]}"

        def entry(q, k, v, extra_options):
            self.reached.add(number)
            with self.guarded(at):
                v = values(number, module, q, k, v, extra_options)
            return attend(occupant, q, k, v, extra_options, options)

        return entry

    def tell_layers(self) -> None:
        """Says so when layers never came by their entries: their own forward, or what stands around them, is another pack's."""
        total, missing = len(self.awaited), len(self.awaited - self.reached)
        if missing and missing == total:
            self.warn(
                f"Another pack has replaced the cross-attention of this model (NAG and the like): all {total} layers run its own "
                f"way, and none was {self.done}.",
                cause="own way",
            )
        elif missing:
            self.warn(
                f"{missing} of {total} layers {'was' if missing == 1 else 'were'} not {self.done}, because another pack runs "
                f"{'it' if missing == 1 else 'them'} its own way (NAG and the like).",
                cause="own way",
            )


def why_unknown(owner: Owner, unknown: str) -> str:
    """Why the words of a prompt are not known: it has none, or what `unknown` says."""
    return ZEROED.format(role=owner.role) if is_zeroed(owner.cond) else unknown


def begun(make: Callable[[], Followed], doing: str) -> Followed | None:
    """What `make` makes to follow a sampling with; None, with a warning, when it fails: the sampling then goes its way."""
    try:
        return make()
    except CANCELS:
        raise
    except Exception as error:
        logging.warning(
            "[HRV] %s did not begin (%s). The picture is made without it.", doing, cause_of(error)
        )
        return None


def ran_out_of_memory(error: Exception) -> bool:
    """Whether memory was the cause. Where torch has no class of its own for it (the CPU, other accelerators), its words say so."""
    if isinstance(error, OUT_OF_MEMORY):
        return True
    text = str(error).lower() if isinstance(error, RuntimeError) else ""
    return "out of memory" in text or "allocate memory" in text


def cause_of(error: Exception) -> str:
    """An error in a few words."""
    return "memory ran out" if ran_out_of_memory(error) else f"{type(error).__name__}: {error}"
