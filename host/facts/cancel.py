"""The user's cancel, which is no error: nothing of ours may keep it.

try:
    …                       # calls the host, a text encoder, other packs
except CANCELS:
    raise
except Exception as error:
    …
"""

import comfy.model_management

CANCELS = (comfy.model_management.InterruptProcessingException,)
"""What ComfyUI raises to end a prompt that the user cancelled. Older releases (0.16) make it an ordinary Exception."""
