"""Following the attention layers of a UNet: entries in them, layers that never came by, and a UNet that runs out of memory."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, ClassVar

import torch

from ....hrv.heads.layout import Layout
from ....hrv.wording import said
from ...facts.cancel import CANCELS
from ...facts.guider import patcher_of
from ...facts.layers import is_compiled
from ...facts.network import without_compiled_code
from ...facts.options import ATTN2
from .calls import UnetCall
from .errors import ran_out_of_memory
from .following_prompts import FollowingPrompts
from .layer_entries import Attention, Found, Layer, LayerCall, layers_of, with_entries

COMPILED = (
    "This model is compiled (TorchCompileModel and the like). A compiled model does not show what its "
    "individual layers do, so this sampling was not {done}. To have it {done}, bypass the node that "
    "compiles the model."
)
UNCOMPILED = (
    "This model is compiled (TorchCompileModel and the like). A compiled model does not show what its individual layers do, so this sampling ran "
    "without the compiled code ({done}). The image is exactly that of the model without the node that compiles it, and it took as long."
)

CAN_RUN_UNCOMPILED = hasattr(torch.compiler, "set_stance")  # from torch 2.6
Change = Callable[[LayerCall], None]
"""What a follower does in a layer: reads a call of it, or changes it, all at the end or not at all."""


class FollowingLayers(FollowingPrompts):
    """Follows the layers in one sampling. A follower overrides `options_for`, and `after_call` if it counts."""

    at = FollowingPrompts.at | {
        "options_for": "matching rows with prompts",
        "after_call": "counting evaluations",
    }
    holds_memory: ClassVar[bool] = False
    """Whether what it holds may fill the memory: a UNet that runs out of it then runs once more without."""

    def __init__(self, layout: Layout, warnings: list[str] | None = None):
        super().__init__(warnings)
        self.layout = layout
        self.awaited: set[int] = set()  # layers that were to come by an entry of ours
        self.reached: set[int] = set()  # of these, those that did
        self._walked: tuple[Any, Found] | None = None
        self._leaves_out_code = False

    def refusal(self, guider) -> str:
        if not is_compiled(patcher_of(guider)):
            return ""
        if not CAN_RUN_UNCOMPILED:
            return said(COMPILED, done=self.done)
        self._leaves_out_code = True
        self.warn(said(UNCOMPILED, done=self.done))
        return ""

    def around(self):
        return without_compiled_code() if self._leaves_out_code else super().around()

    # -- one call of the UNet ---------------------------------------------------------------------------------

    def options_for(self, call: UnetCall) -> dict[str, Any]:
        """The transformer_options to call the UNet with: `call.options` itself, or a copy with entries. `call.context` is there."""
        return call.options

    def after_call(self, call: UnetCall, output: torch.Tensor) -> None:
        """The UNet has run, and `call.noted` was set. output: (chunk · batch, channel, height, width)."""

    def in_unet(self, call: UnetCall) -> torch.Tensor:
        return self.follow(call)

    def follow(self, call: UnetCall) -> torch.Tensor:
        """Makes a call with the options that `options_for` gives."""
        options, spare_control = call.options, None
        if self.failed or self.conditionings is None or call.context is None:
            return call.go_on()
        with self.guarded(self.at["options_for"]):
            spare_control = call.spare_control() if self.holds_memory else None
            options = self.options_for(call)
        can_do_without = self.holds_memory and options is not call.options
        try:
            output = call.go_on(options)
        except Exception as error:
            if not (can_do_without and ran_out_of_memory(error)):
                raise
            self.abandon("the model was running", error)
        else:
            if call.noted is not None and not self.failed:
                with self.guarded(self.at["after_call"]):
                    self.after_call(call, output)
            return output
        call.control, call.noted, options = spare_control, None, None  # what was held is free again
        return call.go_on()

    # -- layers -----------------------------------------------------------------------------------------------

    def with_entries(
        self, call: UnetCall, change: Change, layers: Collection[int] | None = None
    ) -> dict[str, Any]:
        """A copy of the call's transformer_options with an entry for these cross-attention layers (None: all), in which `change` is called.
        Layers that another pack runs its own way, or that are not what the layout says, get none."""
        wanted = range(len(self.layout.blocks)) if layers is None else layers
        self.awaited.update(wanted)

        def entry_for(layer: Layer) -> Attention | None:
            return self.entry(layer, change) if layer.number in wanted and not layer.is_foreign else None

        return with_entries(self._found(call.unet), call.options, ATTN2, entry_for)

    def _found(self, unet) -> Found:
        """Layers that are what the layout says. Looked up once in a sampling: walking through the network takes longer than all that is done
        with it."""
        if self._walked is None or self._walked[0] is not unet:
            found = layers_of(unet, self.layout, ATTN2)
            self._walked = unet, [one for one in found if one[1] == self.layout.blocks[one[0]]]
        return self._walked[1]

    def entry(self, layer: Layer, change: Change) -> Attention:
        """An entry in which `change` is called, guarded, and then what the layer would have done."""

        def entry(q, k, v, extra_options):
            self.reached.add(layer.number)
            call = LayerCall(layer, q, k, v, extra_options)
            try:  # as `guarded` does, which takes longer
                change(call)
            except CANCELS:
                raise
            except Exception as error:
                self.abandon(f"at layer {layer.block}", error)
            return call.attend()

        return entry

    def tell_of_layer(self, layer: Layer, had: str, expected: str) -> None:
        """Says that a layer was given other sizes: rows × tokens, or rows × pixels × tokens."""
        self.warn(
            said(
                "Another node changes rows, pixels or tokens inside the model (attention couple, token merging and the like): layer {layer} "
                "had {had} where {expected} were expected. Such layers were not {done}.",
                layer=str(layer.block),
                had=had,
                expected=expected,
                done=self.done,
            ),
            cause="layer",
        )

    def tell_layers(self) -> None:
        """Says so when layers never came by their entries: their own forward, or what stands around them, is another pack's."""
        total, missing = len(self.awaited), len(self.awaited - self.reached)
        if missing and missing == total:
            self.warn(
                said(
                    "Another pack has replaced the cross-attention of this model (NAG and the like): it runs all {total} layers in its own "
                    "way, so none of them were {done}.",
                    total=total,
                    done=self.done,
                ),
                cause="own way",
            )
        elif missing:
            one = "1 of {total} layers was not {done}, because another pack runs it in its own way (NAG and the like)."
            self.warn(
                said(one, total=total, done=self.done)
                if missing == 1
                else said(
                    "{missing} of {total} layers were not {done}, because another pack runs them in its own way (NAG and the like).",
                    missing=missing,
                    total=total,
                    done=self.done,
                ),
                cause="own way",
            )
