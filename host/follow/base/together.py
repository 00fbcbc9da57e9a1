"""Nodes of one kind on one model that act together."""

from __future__ import annotations

from typing import Any

from .following import Following
from .preamble import Clones
from .wrapping import Wrapping


class Together(Wrapping):
    """All nodes of one kind on a model. A later node takes the earlier one's place on its own clone, and keeps its settings."""

    def __init__(self, made: Clones, setting: Any):
        earlier = self.of(made.model)
        settings, registries = (earlier.settings, earlier.registries) if earlier else ((), ())
        self.layout = made.layout
        self.settings = (*settings, setting)
        self.registries = (*registries, made.registry)
        super().__init__()

    @classmethod
    def join(cls, made: Clones, setting: Any) -> None:
        """Puts one more node's setting on a model that is ours alone."""
        joined = cls(made, setting)
        cls.take_off(made.model)
        joined.put_on(made.model)

    def new_sampling(self) -> Following:
        return self.follower(self.layout, self.settings, self.registries)
