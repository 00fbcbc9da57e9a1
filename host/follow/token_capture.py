"""The recording of one sampling of a transformer while it runs."""

from __future__ import annotations

from ...hrv.heads.layout import Layout
from ...hrv.wording import said
from ..facts.attention import attention_chosen
from ..facts.conditionings import embedded_length_of
from ..facts.families import Segments, attention_share, family_of, followed_layout_of, network_sampled
from ..facts.guider import options_of, patcher_of
from ..facts.options import OPTIMIZED_ATTENTION_OVERRIDE, TRANSFORMER_OPTIONS
from ..facts.patcher import device_of
from ..facts.rows import POSITIVE
from .base.following_tokens import FollowingTokens, TokenCall, may_tell_sums
from .capture import Capture
from .launched_layers import Launch
from .recorded_rows import Recorded, Row
from .recorded_schedule import FREE, Effort

VIDEO = said(
    "This is a video: each map is the mean over its frames, so a thing that moves is spread along its way."
)
NO_VOTES = said(
    "Votes for head relevance were not counted: they need a model that encodes each word of a concept on its own and reads it through "
    "cross-attention, as SD and SDXL do. The image and the recording are not affected."
)
MOST = 0.1
"""Of the evaluations: the last ones, in which joint attention shows things best (docs/results.md)."""


def recording_cost(network, place: Segments, is_told: bool) -> float:
    """What recording an evaluation takes, as a part of what the evaluation takes. is_told: whether the kernel tells its sums.

    Recording a layer takes as long as its attention (0.87 of it on a CPU at Flux's shape, rounded up), or where the kernel tells its sums,
    that times the text's part of the keys.
    """
    text = place.text.stop - place.text.start
    return attention_share(network, place.keys) * (text / place.keys if is_told else 1.0)


class TokenCapture(FollowingTokens, Capture):
    """Follows one sampling of a transformer."""

    counts_votes = False
    reads_probabilities = True

    def open(self, guider) -> None:
        super().open(guider)
        if self.options.votes is not None:
            self.warn(NO_VOTES, cause="votes")

    def _add(self, recorded: Recorded, row: Row, at: TokenCall) -> Launch | None:
        if at.segments.frames > 1:
            self.warn(VIDEO, cause="video")
        return super()._add(recorded, row, at)

    def layout_now(self, patcher) -> Layout:
        self._entries.family = family_of(network_sampled(patcher))
        return followed_layout_of(patcher, self.done)

    def effort(self, guider) -> Effort:
        network = network_sampled(patcher_of(guider))
        lengths = [embedded_length_of(owner.cond) for owner in self.conditionings if owner.role == POSITIVE]
        family = family_of(network)
        if family is None or not family.joint or not lengths or len(self._size) != 2:
            return FREE
        place = family.segments(network, self._size, max(lengths), {})
        override = options_of(guider).get(TRANSFORMER_OPTIONS, {}).get(OPTIMIZED_ATTENTION_OVERRIDE)
        is_told = may_tell_sums(attention_chosen(), device_of(patcher_of(guider)), override)
        return Effort(recording_cost(network, place, is_told), MOST)
