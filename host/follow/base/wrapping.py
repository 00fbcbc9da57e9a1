"""What recording, remembering, steering, editing and exciting have in common: wrappers on a clone of the model, all under one
key, which follow one sampling at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import comfy.patcher_extension
import torch

from ....hrv.heads.layout import Layout
from ...facts.layers import UnsupportedModel, is_compiled, layout_of_model
from ...facts.rows import go_innermost
from ...facts.sampler_call import SamplerCall
from ...page import log
from .following import Following, begun

OUTER_SAMPLE = comfy.patcher_extension.WrappersMP.OUTER_SAMPLE
PREDICT_NOISE = comfy.patcher_extension.WrappersMP.PREDICT_NOISE
CALC_COND_BATCH = comfy.patcher_extension.WrappersMP.CALC_COND_BATCH
DIFFUSION_MODEL = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL
COMPILED = (
    "This model is compiled (TorchCompileModel and the like), and a compiled model does not show what its single layers do, so "
    "this sampling was not {done}. Bypass the node that compiles to have it {done}."
)
KINDS = (OUTER_SAMPLE, PREDICT_NOISE, CALC_COND_BATCH, DIFFUSION_MODEL)


def layout_or_reason(model, consequence: str) -> tuple[Layout | None, str]:
    """(layout, ""), or (None, why not) for a model that has no cross-attention of this kind. The log and the node then say so,
    and what becomes of the picture: it is made all the same."""
    try:
        return layout_of_model(model), ""
    except UnsupportedModel as error:
        log.warn(f"{error} {consequence}")
        log.tell(log.node_running(), [f"{error} {consequence}"])
        return None, str(error)


class Wrapping(ABC):
    """Follows one sampling at a time with what `new_sampling` makes, in `sampling`; None between samplings and where the
    following did not begin. A sampling inside another is followed by itself, and then the outer one again.

    A method `_predict_noise` or `_diffusion_model` of a subclass is its wrapper of that kind. Whatever goes wrong ends the
    following, never the sampling.
    """

    key: ClassVar[str]
    follower: ClassVar[type[Following]]
    reads: ClassVar[str] = "reading the prompts"  # what is done first, for warnings
    knows_latents: ClassVar[bool] = (
        False  # whether it will be asked for what the sampling's latents are known by
    )

    def __init__(self):
        self.sampling: Any = None
        self.node = log.node_running()  # the node whose page shows what is warned of

    def __deepcopy__(self, memo) -> Wrapping:
        """Packs that deep-copy model_options keep the wrappers of one sampling together, and a recorder to its recording."""
        return self

    @abstractmethod
    def new_sampling(self) -> Following:
        """May raise: the sampling is then not followed."""

    def put_in_order(self, model_options: dict[str, Any]) -> None:
        """Where our wrappers stand among others, in this sampling's own options."""
        go_innermost(model_options, self.key)

    def look_back(self, sampling: Any, samples: torch.Tensor, call: SamplerCall) -> None:
        """The sampling is done. Not called after an error or a cancel."""
        with sampling.guarded("looking back"):
            sampling.close()

    @classmethod
    def of(cls, model):
        """The one that is on this ModelPatcher, or None."""
        wrappers = model.get_wrappers(OUTER_SAMPLE, cls.key)
        return wrappers[0].__self__ if wrappers else None

    @classmethod
    def take_off(cls, model) -> None:
        """Removes the wrappers from a ModelPatcher that is ours alone."""
        for kind in KINDS:
            model.remove_wrappers_with_key(kind, cls.key)

    def put_on(self, model) -> None:
        """Adds the wrappers to a ModelPatcher that is ours alone."""
        for kind in KINDS:
            wrapper = getattr(self, f"_{kind}", None)
            if wrapper is not None:
                model.add_wrapper_with_key(kind, self.key, wrapper)

    def _outer_sample(self, executor, *args, **kwargs):
        sampling, call = begun(self.new_sampling, self.follower.doing), None
        if sampling is not None:
            with sampling.guarded(self.reads):
                call = self._open(sampling, executor.class_obj, args, kwargs)
                args, kwargs = call.args, call.kwargs
        around = self.sampling  # another node may sample within a step of a sampling
        self.sampling = None if sampling is None or sampling.failed else sampling
        try:
            samples = executor(*args, **kwargs)
        finally:
            self.sampling = around
        if sampling is not None:
            self.look_back(sampling, samples, call)
            with sampling.guarded("telling of it"):
                log.tell(self.node, sampling.warnings)
        return samples

    def _open(self, sampling: Any, guider, args: tuple, kwargs: dict[str, Any]) -> SamplerCall:
        """Begins to follow; returns how the sampler is to be called."""
        call = SamplerCall(guider, args, kwargs)
        if self.knows_latents:
            call.watch()
        with sampling.guarded(self.reads):
            if is_compiled(guider.model_patcher):
                sampling.end(COMPILED.format(done=sampling.done))
            else:
                sampling.open(guider)
                self.put_in_order(guider.model_options)
        return call

    def _calc_cond_batch(self, executor, model, conds, x_in, *args, **kwargs):
        if self.sampling is None:
            return executor(model, conds, x_in, *args, **kwargs)
        with self.sampling.evaluated(conds, tuple(x_in.shape[-2:])):
            return executor(model, conds, x_in, *args, **kwargs)
