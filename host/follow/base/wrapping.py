"""Wrappers on a clone of a model, all under one key, that follow one sampling at a time and change nothing by themselves:

    OUTER_SAMPLE     one sampling, from the guider's conditionings to the latents that come out
    PREDICT_NOISE    one evaluation of the model by the sampler
    CALC_COND_BATCH  the lists of conditionings that the rows of the batch belong to
    DIFFUSION_MODEL  one call of the UNet: a follower may hand it a copy of transformer_options
    APPLY_MODEL      the same for models of other kinds, not all of which have the former

They call the hooks of a `Following`, and only those are put on whose hooks the follower has. A kind of wrapper for other models
is a line in HOOKS and a method here. Whatever goes wrong in a follower ends the following, never the sampling.
"""

from __future__ import annotations

import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch

from ...facts.cancel import CANCELS
from ...facts.guider import options_of
from ...facts.options import TRANSFORMER_OPTIONS, WRAPPERS
from ...facts.rows import go_innermost
from ...facts.sampler_call import SamplerCall
from ...facts.wrappers import (
    APPLY_MODEL,
    CALC_COND_BATCH,
    DIFFUSION_MODEL,
    OUTER_SAMPLE,
    PREDICT_NOISE,
    add,
    first,
    owner_of,
    remove,
)
from ...page import log
from .calls import Evaluation, ModelCall, UnetCall
from .errors import cause_of
from .following import Following

HOOKS: dict[str, tuple[str, ...]] = {
    OUTER_SAMPLE: (),
    PREDICT_NOISE: ("before_evaluation", "after_evaluation"),
    CALC_COND_BATCH: ("evaluated",),
    DIFFUSION_MODEL: ("in_unet",),
    APPLY_MODEL: ("in_model",),
}
"""Kind of wrapper → the hooks that it is put on for; none: always. Its method is `_` and the kind."""


class Wrapping(ABC):
    """Follows one sampling at a time with what `new_sampling` makes, in `sampling`; None between samplings and where the
    following did not begin. A sampling inside another is followed by itself, and then the outer one again.
    """

    key: ClassVar[str]
    follower: ClassVar[type[Following]]
    stays_outside: ClassVar[tuple[str, ...]] = ()
    """Keys of those of ours whose wrappers of the UNet are to run inside this one's."""
    knows_latents: ClassVar[bool] = False
    """Whether it will be asked for what the sampling's latents are known by."""

    def __init__(self):
        self.sampling: Any = None
        self.node = log.node_running()  # the node whose page shows what is warned of

    def __deepcopy__(self, memo) -> Wrapping:
        """Packs that deep-copy model_options keep the wrappers of one sampling together, and a recorder to its recording."""
        return self

    @abstractmethod
    def new_sampling(self) -> Following:
        """May raise: the sampling is then not followed."""

    def look_back(self, sampling: Any, samples: torch.Tensor, call: SamplerCall) -> None:
        """The sampling is done. Not called after an error or a cancel."""
        with sampling.guarded(sampling.at["close"]):
            sampling.close()

    # -- on and off a model -----------------------------------------------------------------------------------

    @classmethod
    def of(cls, model):
        """The one that is on this ModelPatcher, or None."""
        wrapper = first(model, OUTER_SAMPLE, cls.key)
        return wrapper and wrapper.__self__

    @classmethod
    def take_off(cls, model) -> None:
        """Removes the wrappers from a ModelPatcher that is ours alone."""
        for kind in HOOKS:
            remove(model, kind, cls.key)

    def put_on(self, model) -> None:
        """Adds the wrappers to a ModelPatcher that is ours alone."""
        for kind in self._kinds():
            add(model, kind, self.key, getattr(self, f"_{kind}"))

    @classmethod
    def _kinds(cls) -> list[str]:
        """The kinds of wrapper whose hooks the follower has."""

        def has(hook: str) -> bool:
            return getattr(cls.follower, hook) is not getattr(Following, hook)

        return [kind for kind, hooks in HOOKS.items() if not hooks or any(map(has, hooks))]

    def _put_in_order(self, model_options: dict[str, Any]) -> None:
        """Where our wrapper of the UNet stands, in this sampling's own options: inside those of other packs, so that it sees what
        they have put into transformer_options, and outside those of ours that `stays_outside` names."""
        for kind in (DIFFUSION_MODEL, APPLY_MODEL):
            if kind not in self._kinds():
                continue
            go_innermost(model_options, kind, self.key)
            inner = model_options[TRANSFORMER_OPTIONS][WRAPPERS][kind]
            for key in [key for key in inner if key in self.stays_outside]:
                go_innermost(model_options, kind, key)

    # -- the wrappers -----------------------------------------------------------------------------------------

    def _outer_sample(self, executor, *args, **kwargs):
        sampling, call = begun(self.new_sampling, self.follower.doing), None
        if sampling is not None:
            with sampling.guarded(sampling.at["open"]):
                call = self._open(sampling, owner_of(executor), args, kwargs)
                args, kwargs = call.args, call.kwargs
        around = self.sampling  # another node may sample within a step of a sampling
        self.sampling = None if sampling is None or sampling.failed else sampling
        try:
            with contextlib.ExitStack() as stack:
                if self.sampling is not None:
                    with sampling.guarded(sampling.at["open"]):
                        stack.enter_context(sampling.around())
                samples = executor(*args, **kwargs)
        finally:
            self.sampling = around
        if sampling is not None:
            self.look_back(sampling, samples, call)
            with sampling.guarded("reporting its warnings"):
                log.tell(self.node, sampling.warnings)
        return samples

    def _open(self, sampling: Any, guider, args: tuple, kwargs: dict[str, Any]) -> SamplerCall:
        """Begins to follow; returns how the sampler is to be called."""
        call = SamplerCall(guider, args, kwargs)
        if self.knows_latents:
            call.watch()
        sampling.called(guider, call)
        with sampling.guarded(sampling.at["open"]):
            refusal = sampling.refusal(guider)
            if refusal:
                sampling.end(refusal)
            else:
                sampling.open(guider)
                self._put_in_order(options_of(guider))
        return call

    def _predict_noise(self, executor, x, timestep, model_options=None, *args, **kwargs):
        options = {} if model_options is None else model_options
        evaluation, sampling = Evaluation(owner_of(executor), x, timestep, options), self.sampling
        if sampling is not None and not sampling.failed:
            with sampling.guarded(sampling.at["before_evaluation"]):
                sampling.before_evaluation(evaluation)
        denoised = executor(evaluation.x, timestep, options, *args, **kwargs)
        if sampling is not None and not sampling.failed:
            with sampling.guarded(sampling.at["after_evaluation"]):
                denoised = sampling.after_evaluation(evaluation, denoised)
        return denoised

    def _calc_cond_batch(self, executor, model, conds, x_in, *args, **kwargs):
        if self.sampling is None:
            return executor(model, conds, x_in, *args, **kwargs)
        with self.sampling.evaluated(conds, tuple(x_in.shape[-2:])):
            return executor(model, conds, x_in, *args, **kwargs)

    def _diffusion_model(
        self, executor, x, timesteps, context=None, y=None, control=None, transformer_options=None, **kwargs
    ):
        options = {} if transformer_options is None else transformer_options
        call = UnetCall(
            executor, x, timesteps, context=context, y=y, control=control, options=options, more=kwargs
        )
        return call.go_on() if self.sampling is None else self.sampling.in_unet(call)

    def _apply_model(
        self,
        executor,
        x,
        t,
        c_concat=None,
        c_crossattn=None,
        control=None,
        transformer_options=None,
        **kwargs,
    ):
        options = {} if transformer_options is None else transformer_options
        call = ModelCall(
            executor, x, t, context=c_crossattn, y=None, control=control, options=options, more=kwargs,
            concatenated=c_concat,
        )  # fmt: skip
        return call.go_on() if self.sampling is None else self.sampling.in_model(call)


def begun(make: Callable[[], Following], doing: str) -> Following | None:
    """What `make` makes to follow a sampling with; None, with a warning, when it fails: the sampling then goes its way."""
    try:
        return make()
    except CANCELS:
        raise
    except Exception as error:
        logging.warning(
            "[HRV] %s did not start (%s). The image is generated without it.", doing, cause_of(error)
        )
        return None
