"""What Edit Prompt tells the artist when the two samplings do not belong together."""

UNKNOWN_WORDS = (
    "{which} picture's words are not known, so nothing was taken over by words. If its text node's CLIP comes neither from "
    "Remember Run nor from Record Attention, connect the clip output of one of them to both text nodes. If it does, another node "
    "made or changed the prompt after it was encoded."
)
OTHER_STEPS = (
    "Edit Prompt: the second sampler takes steps that the first did not take, or that were not remembered. Both samplers need the same steps, sampler, "
    "scheduler and denoise. Such steps were not edited."
)
OTHER_START = (
    "Edit Prompt: the two samplers start from different pictures of noise. Both need the same seed and the same latent. The "
    "second picture is not edited."
)
OTHER_SIZE = (
    "Edit Prompt: the first picture had {before[0]} pictures of {before[2]}×{before[3]} latent pixels, the second has "
    "{now[0]} of {now[2]}×{now[3]}. Both samplers need the same latent, and prompts with the same areas. Not edited."
)
OTHER_MODEL = (
    "Edit Prompt: this model no longer draws the first picture as the first sampler did, because a LoRA, a ControlNet, "
    "steering or guidance is on one of them only, or with another strength. The first picture's attention is that of the second sampler's model."
)
