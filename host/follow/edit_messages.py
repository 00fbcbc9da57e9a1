"""What Edit Prompt tells the artist when the two samplings do not belong together."""

from __future__ import annotations

from ...hrv.wording import said

UNKNOWN_FIRST = said(
    "The first image's words are not known, so nothing could be carried over word by word. If its text "
    "node's CLIP does not come from Remember Run or Record Attention, connect the clip output of one of "
    "them to both text nodes. If it does, another node made or changed the prompt after it was encoded."
)
UNKNOWN_SECOND = said(
    "The second image's words are not known, so nothing could be carried over word by word. If its text "
    "node's CLIP does not come from Remember Run or Record Attention, connect the clip output of one of "
    "them to both text nodes. If it does, another node made or changed the prompt after it was encoded."
)
OTHER_STEPS = said(
    "Edit Prompt: the second sampler takes steps that the first did not take, or that were not remembered. "
    "Those steps were not edited. Both samplers need the same steps, sampler, scheduler and denoise."
)
OTHER_START = said(
    "Edit Prompt: the two samplers start from different noise. Both need the same seed and the same "
    "latent. The second image was not edited."
)
OTHER_SIZE = (
    "Edit Prompt: the first sampler ran on {before} latent pixels, the second runs on {now}. Both samplers need the same latent, and prompts "
    "with the same areas. Where they differ, nothing was edited."
)
OTHER_MODEL = said(
    "Edit Prompt: this model no longer draws the first image the way the first sampler did, because a "
    "LoRA, ControlNet, steering or guidance is on only one of them, or at a different strength. The first "
    "image's attention is therefore taken from the second sampler's model."
)
