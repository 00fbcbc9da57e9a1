"""Names that files can have. Windows takes fewer than other systems, and some of them silently for something else: what is
written to “red: cat” ends up in a hidden part of a file “red”."""

from __future__ import annotations

import os
import re

ON_WINDOWS = os.name == "nt"
FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f]')
DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)", re.IGNORECASE)


def fault_of(prefix: str, windows: bool = ON_WINDOWS) -> str | None:
    """What is wrong with a file's name, which may name folders with "/", as the end of a sentence; None for nothing."""
    if "\0" in prefix:
        return "a name cannot contain a zero character"
    if not windows:
        return None
    for part in re.split(r"[\\/]", prefix):
        if found := FORBIDDEN.search(part):
            return f"Windows does not allow {found[0]!r} in names"
        if DEVICES.fullmatch(part.split(".")[0].rstrip()):
            return f"{part!r:.50} is the name of a device in Windows"
        if part not in (".", "..") and part != part.rstrip(" ."):
            return f"in Windows a name cannot end in a space or a dot, as {part!r:.50} does"
    return None
