"""Attention Heatmap with a prompt of 150 tags and `words` empty: seconds and memory of the whole node, previews included.

python3 dev.py bench --only heatmap         both sizes, each run in a process of its own
python3 benchmarks/heatmap.py --side 512    one run, as JSON, with the Python of a ComfyUI that HRV_COMFYUI names
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import bench

COLOURS = ("red", "blue", "green", "golden", "silver", "old", "big", "long", "dark", "bright")
THINGS = ("dress", "hat", "bridge", "river", "cloud", "flower", "window", "lantern", "boots", "umbrella",
          "castle", "garden", "mountain", "bird", "horse")  # fmt: skip
PLACES = ("river", "garden", "mountain")
TARGETS = {512: 5.0, 1024: 15.0}  # seconds on two cores
BESIDE = 0.3  # GiB beside the outputs
SETS = 4  # of maps for each shape of layer, in turn: more than fits the processor's cache, less than a whole recording


def measure(quick: bool) -> list[bench.Row]:
    rows = []
    for side, target in TARGETS.items():
        runs = [_in_a_process(side) for _ in range(1 if quick else 5)]
        first, seconds = runs[0], [run["seconds"] for run in runs]
        rows += [
            bench.Row(f"Attention Heatmap, {first['tags']} tags, image of {side}²", statistics.median(seconds), "s", target,
                      (min(seconds), max(seconds)),
                      f"{len(runs)} runs; {first['length']} tokens, 1300 heads; processor {first['processor']:.1f} s; "
                      f"load before {first['load']:.1f}"),
            bench.Row("the same, memory at its peak beside the outputs", max(run["beside"] for run in runs) / 2**30,
                      "GiB", BESIDE, note=f"outputs {first['outputs'] / 2**30:.2f} GiB"),
        ]  # fmt: skip
    return rows


def _in_a_process(side: int) -> dict:
    command = [sys.executable, str(Path(__file__).resolve()), "--side", str(side)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def tags() -> str:
    """150 tags, every third of three words: 499 tokens with their commas, so seven chunks of CLIP."""
    pairs = [(colour, thing) for colour in COLOURS for thing in THINGS]
    return ", ".join(f"{'' if n % 3 else 'very '}{colour} {thing}" for n, (colour, thing) in enumerate(pairs))


def recording_of(text: str, side: int):
    """(latent, recording): SDXL's layers, the sums of three early and two late evaluations made up, peaked as real ones are: words for
    things in the middle of the image, words for places around it."""
    import recordings
    import synthetic
    import torch

    from hrv_pack.host.text.clip_trace import tokenize_text
    from hrv_pack.hrv.heads.known_layouts import SDXL
    from hrv_pack.hrv.recording.recording import Entry, Recording
    from hrv_pack.hrv.recording.schedule import Bin

    prompt, made, generator = tokenize_text(text), {}, torch.Generator().manual_seed(0)
    columns = tuple(prompt.recorded_columns)
    of_places = {column for tag in prompt.entries() if tag.text.endswith(PLACES) for column in tag.columns}
    is_place = torch.tensor([column in of_places for column in columns]).view(-1, 1, 1)
    counts = torch.tensor([3.0, 2.0]).view(1, 2, 1, 1, 1, 1)

    def maps(number: int) -> torch.Tensor:
        heads, grid = SDXL.blocks[number].heads, recordings.grid_of(SDXL.blocks[number], side)
        key = heads, grid, number % SETS
        if key not in made:
            noise = torch.rand(1, 2, heads, len(columns), *grid, generator=generator) ** 8 * counts
            across = torch.linspace(-1, 1, grid[0])
            middle = torch.exp(-4 * (across[:, None] ** 2 + across**2))
            made[key] = noise.mul_(torch.where(is_place, 0.7 - 0.4 * middle, 0.1 + middle)).half()
        return made[key]

    entry = Entry("positive", 0, prompt, prompt.length, columns, [3, 2], 1, bins=(Bin(0), Bin(0, late=True)))
    entry.maps.update({number: maps(number) for number in range(len(SDXL.blocks))})
    latent = torch.zeros(1, 4, side // 8, side // 8)
    recording = Recording(SDXL, 16 * 2**30)
    recording.add(synthetic.run_of(latent, entry, layout=SDXL))
    return latent, recording


def one_run(side: int) -> dict:
    """Seconds, and bytes at the peak, of one run of the node in this process."""
    bench.start_host()
    import folder_paths
    import torch

    from hrv_pack.nodes.look.heatmap import HRVHeatmap

    os.makedirs(folder_paths.get_temp_directory(), exist_ok=True)
    latent, recording = recording_of(tags(), side)
    prompt = recording.runs[0].entries[0].prompt
    coarse = torch.rand(1, 3, side // 16, side // 16, generator=torch.Generator().manual_seed(1))
    image = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)
    defaults = {
        input.id: input.default
        for input in HRVHeatmap.GET_SCHEMA().inputs
        if getattr(input, "default", None) is not None
    }
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    before, processor, started = bench.resident(), time.process_time(), time.perf_counter()
    with torch.inference_mode():
        out = HRVHeatmap.execute(
            attention=recording,
            latent={"samples": latent},
            **(defaults | {"image": image.movedim(1, -1).contiguous()}),
        )
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    outputs = sum(tensor.nbytes for tensor in out.result[:3])
    return {
        "tags": len(out.result[3]),
        "length": prompt.length,
        "seconds": seconds,
        "processor": processor,
        "load": load,
        "outputs": outputs,
        "beside": bench.resident_peak() - before - outputs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=512, help="of the square image, in pixels")
    print(json.dumps(one_run(parser.parse_args().side)))


if __name__ == "__main__":
    main()
