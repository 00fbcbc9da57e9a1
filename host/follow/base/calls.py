"""What ComfyUI calls our wrappers with, in one object for each call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from ...facts.families import network_of_model
from ...facts.wrappers import owner_of


@dataclass(eq=False)
class Evaluation:
    """One evaluation of the model by the sampler (a PREDICT_NOISE wrapper).

    x: (image, channel, height, width), what the sampler holds; a follower may put another in its place. timestep: (image,) sigma.
    """

    guider: Any
    x: torch.Tensor
    timestep: torch.Tensor
    model_options: dict[str, Any]
    _sent: tuple[torch.Tensor, torch.cuda.Event] | None = field(default=None, init=False)

    @property
    def sigma(self) -> float:
        """Reading it waits for a GPU: until all is done that it was given before; after `send_sigma` only what it was given before that."""
        if self._sent is None:
            return float(self.timestep.flatten()[0])
        sigma, event = self._sent
        event.synchronize()
        return float(sigma)

    @property
    def is_sent(self) -> bool:
        return self._sent is not None

    def send_sigma(self) -> None:
        """Has sigma brought here, so that reading it later needs no waiting."""
        sigma = self.timestep.detach().flatten()[:1]
        if not sigma.is_cuda or self.is_sent:
            return
        try:
            here = torch.empty(1, dtype=sigma.dtype, pin_memory=True)
        except RuntimeError:  # none to be had
            return
        here.copy_(sigma, non_blocking=True)
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(sigma.device))
        self._sent = here, event


@dataclass(eq=False)
class UnetCall:
    """One call of the UNet (a DIFFUSION_MODEL wrapper).

    x: (chunk · batch, channel, height, width); timesteps: (chunk · batch,); context: (chunk · batch, token, channel) or None;
    y: (chunk · batch, channel) or None; control: signals by part, or None; options: transformer_options; more: what else was
    given. noted: what a follower keeps from `options_for` for its `after_call`.
    """

    executor: Any
    x: torch.Tensor
    timesteps: torch.Tensor
    context: torch.Tensor | None
    y: torch.Tensor | None
    control: dict[str, list] | None
    options: dict[str, Any]
    more: dict[str, Any]
    noted: Any = None

    @property
    def unet(self):
        """The network itself."""
        return owner_of(self.executor)

    def go_on(self, options: dict[str, Any] | None = None) -> torch.Tensor:
        """What the UNet, and the wrappers inside ours, make of it; with other options if given."""
        given = self.options if options is None else options
        return self.executor(self.x, self.timesteps, self.context, self.y, self.control, given, **self.more)

    def spare_control(self) -> dict[str, list] | None:
        """The control signals once more: the UNet empties their lists."""
        return self.control and {part: list(signals) for part, signals in self.control.items()}


@dataclass(eq=False)
class ModelCall(UnetCall):
    """One call of a model of any kind (an APPLY_MODEL wrapper), which is given the latent before it is scaled.

    x: (chunk · batch, channel, …, height, width); timesteps: sigma (chunk · batch,). concatenated: more channels, or None.
    """

    concatenated: torch.Tensor | None = None

    @property
    def unet(self):
        return network_of_model(owner_of(self.executor))

    def go_on(self, options: dict[str, Any] | None = None) -> torch.Tensor:
        given = self.options if options is None else options
        before = (self.x, self.timesteps, self.concatenated, self.context, self.control)
        return self.executor(*before, given, **self.more)
