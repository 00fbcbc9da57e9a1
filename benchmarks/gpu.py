"""What recording costs on a GPU: time, memory, kernel launches, copies and waits. Runs by itself:

    python3 benchmarks/gpu.py                         with the Python of a ComfyUI that has CUDA, HRV_COMFYUI naming its folder
    python3 dev.py bench --only gpu                   the same, through dev.py
    python3 benchmarks/gpu.py --device cpu --quick    a small network, to see that it runs

Full-size networks with random half-precision weights, sampled by ComfyUI's own KSampler.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import bench
import samplings

PROMPT = "a large red star and a small blue fish on green grass beside an old stone bridge at night"
LAUNCHES = (
    "cudaLaunchKernel",
    "cudaLaunchKernelExC",
    "cuLaunchKernel",
    "cuLaunchKernelEx",
    "hipLaunchKernel",
)
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "hipStreamSynchronize")
SMALL = 24  # latent pixels of --quick


@dataclass(frozen=True)
class Case:
    """A network at one size. target: largest ratio of times; memory: most extra megabytes, None for no limit."""

    name: str
    config: str
    side: int
    target: float
    memory: float | None


CASES = (Case("SDXL 1024²", "SDXL", 1024, 1.03, 200.0), Case("SD 1.5 512²", "SD1", 512, 1.05, None))


def measure(quick: bool) -> list[bench.Row]:
    """As a part of dev.py bench, whose own process keeps to the CPU: in a process of its own."""
    import torch

    if not torch.cuda.is_available():
        return [
            bench.Row(f"GPU: whole run, {case.name}, 20 steps", None, "×", case.target, note="no GPU on this machine")
            for case in CASES
        ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        subprocess.run(
            [sys.executable, __file__, "--json", file, *(["--quick"] if quick else [])], check=True
        )
        return [bench.Row(**row) for row in json.loads(file.read_text())["rows"]]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="small networks, few steps")
    parser.add_argument("--json", type=Path, help="write all rows here as well")
    arguments = parser.parse_args()
    import torch

    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("No GPU: PyTorch finds no CUDA device on this machine, so nothing was measured.")
        return 1
    bench.start_host(gpu=arguments.device == "cuda")
    rows = [row for case in CASES for row in _case(case, arguments.quick, arguments.device)]
    machine = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    bench.tell(f"{machine}, torch {torch.__version__}", rows, arguments.json)
    return 0


def _case(case: Case, quick: bool, device: str) -> list[bench.Row]:
    import torch

    steps, pairs = (2, 2) if quick else (20, 5)
    plain, recorded, layers, tokens = _samplings(case, quick, device)
    if not torch.equal(plain(1), recorded(1)):
        raise SystemExit("The recorder changed the latent.")
    found = bench.paired(_waited(plain, steps, device), _waited(recorded, steps, device), pairs)
    note = f"{tokens} tokens, float16, random weights, cfg 7"
    if device == "cpu":
        return [found.row(f"trial on the CPU, shape of {case.name}, {steps} steps", None, note)]
    extra = (_peak(recorded) - _peak(plain)) / 1e6
    return [
        found.row(f"GPU: whole run, {case.name}, {steps} steps", case.target, note),
        bench.Row(f"GPU: extra memory at the peak, {case.name}", extra, "MB", case.memory),
        *_counted(case, plain, recorded, layers),
    ]


def _samplings(case: Case, quick: bool, device: str):
    """(plain, recorded, layers, tokens): functions that sample some steps, the number of cross-attention layers, and of
    recorded tokens."""
    import comfy.model_management
    import comfy.model_patcher
    import models
    import rig
    import torch

    from hrv_pack.host.text.clip_trace import TAG

    config = getattr(models, f"TINY_{case.config}" if quick else case.config)
    half = torch.float16 if device == "cuda" else torch.float32
    network = models.random_model(config, half, shared=True).model
    model = comfy.model_patcher.ModelPatcher(
        network, comfy.model_management.get_torch_device(), torch.device("cpu")
    )
    recorded, _, recording = rig.attach(model, None, rig.RecordOptions())
    positive, negative = samplings.prompts(config["context_dim"], PROMPT, 24 if quick else 1280)
    side = SMALL if quick else case.side // 8
    latent = {"samples": torch.zeros(1, 4, side, side)}

    def sampling(one):
        return lambda steps: rig.sample(one, positive, negative, latent, steps=steps)

    tokens = len(positive[0][1][TAG].recorded_columns)
    return sampling(model), sampling(recorded), len(recording.layout.blocks), tokens


def _waited(sampling, steps: int, device: str):
    def run():
        sampling(steps)
        if device == "cuda":
            import torch

            torch.cuda.synchronize()

    return run


def _peak(sampling) -> int:
    import torch

    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    sampling(2)
    return torch.cuda.max_memory_allocated()


def _counted(case: Case, plain, recorded, layers: int) -> list[bench.Row]:
    """What recording adds in a step: the difference of four steps and two, so that start and end of a run cancel out."""

    def added(names) -> float:
        counts = [[_events(sampling, steps, names) for steps in (2, 4)] for sampling in (plain, recorded)]
        return ((counts[1][1] - counts[1][0]) - (counts[0][1] - counts[0][0])) / 2

    rows = []
    for what, names, target, each in (
        ("kernel launches for each layer", LAUNCHES, None, layers),
        ("copies between GPU and memory in a step", ("Memcpy HtoD", "Memcpy DtoH"), 0, 1),
        ("waits for the GPU in a step", WAITS, 0, 1),
    ):
        note = "added by recording, from the profiler"
        rows.append(bench.Row(f"GPU: {what}, {case.name}", added(names) / each, "", target, note=note))
    return rows


def _events(sampling, steps: int, names) -> int:
    """How many events of these names (or beginning with them) the profiler sees."""
    import torch

    activities = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        sampling(steps)
    return sum(event.count for event in profile.key_averages() if event.key.startswith(tuple(names)))


if __name__ == "__main__":
    sys.exit(main())
