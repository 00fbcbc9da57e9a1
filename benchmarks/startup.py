"""What the pack adds to the start of a real ComfyUI server, as ComfyUI itself reports it."""

import os
import re
import statistics
from pathlib import Path

import bench


def measure(quick: bool) -> list[bench.Row]:
    from devtools.server import ComfyServer

    times = []
    for _ in range(1 if quick else 3):
        with ComfyServer(Path(os.environ["HRV_COMFYUI"])) as server:
            found = re.findall(r"([\d.]+) seconds:.*ComfyUI-HRV", server.log)
        times.append(float(found[-1]))
    spread = (min(times), max(times))
    return [bench.Row("start of the server, added by the pack", statistics.median(times), "s", 0.3, spread)]
