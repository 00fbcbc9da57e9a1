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
from collections.abc import Callable
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


FLUX = {
    "image_model": "flux", "in_channels": 16, "out_channels": 16, "vec_in_dim": 768, "context_in_dim": 4096, "hidden_size": 3072,
    "mlp_ratio": 4.0, "num_heads": 24, "depth": 19, "depth_single_blocks": 38, "axes_dim": [16, 56, 56], "theta": 10000, "patch_size": 2,
    "qkv_bias": True, "guidance_embed": True, "txt_ids_dims": [],
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A network at one size. name, steps, target: what is measured, and the largest ratio of times; memory: most extra megabytes, None for
    no limit; images: in a batch; every: how often evaluations are recorded, 0 for what can be afforded; pairs: how often both are timed."""

    name: str
    config: str
    side: int
    target: float
    memory: float | None = None
    images: int = 1
    steps: int = 20
    every: int = 0
    pairs: int = 7


CASES = (
    Case("SDXL 1024²", "SDXL", 1024, 1.03, 200.0),
    Case("SDXL 1024², three images at once", "SDXL", 1024, 1.03, images=3, pairs=4),
    Case("SD 1.5 512²", "SD1", 512, 1.05),
    Case("SD 1.5 512², sixteen images at once", "SD1", 512, 1.05, images=16, pairs=2),
    Case("Flux 1024²", "FLUX", 1024, 1.05, pairs=2),
    Case("Flux 1024², evaluations that are recorded", "FLUX", 1024, 1.05, steps=2, every=1, pairs=5),
)
"""Several images at once keep a card busy that a single one does not, because the processor cannot launch its work fast enough."""


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
    rows = []
    machine = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    for case in CASES:
        rows += _case(case, arguments.quick, arguments.device)
        bench.tell(f"{machine}, torch {torch.__version__}", rows, arguments.json)
    return 0


def _case(case: Case, quick: bool, device: str) -> list[bench.Row]:
    import torch

    steps, pairs = (2, 2) if quick else (case.steps, case.pairs)
    drawn = _samplings(case, quick)
    if not torch.equal(drawn.plain(1).nan_to_num(), drawn.recorded(1).nan_to_num()):
        raise SystemExit("The recorder changed the latent.")
    plain, recorded = (_waited(one, steps, device) for one in (drawn.plain, drawn.recorded))
    found = bench.paired(plain, recorded, pairs)
    note = f"{drawn.tokens} tokens, half precision, random weights"
    if device == "cpu":
        return [found.row(f"trial on the CPU, shape of {case.name}, {steps} steps", None, note)]
    extra = (_peak(drawn.recorded) - _peak(drawn.plain)) / 1e6
    return [
        found.row(f"GPU: whole run, {case.name}, {steps} steps", case.target, note),
        bench.Row(f"GPU: extra memory at the peak, {case.name}", extra, "MB", case.memory),
        *(_counted(case, drawn) if case.config != "FLUX" or case.every else ()),
    ]


@dataclass(frozen=True)
class Drawn:
    """plain, recorded: functions that sample some steps; layers: cross-attention layers; tokens: how many are recorded."""

    plain: Callable
    recorded: Callable
    layers: int
    tokens: int


def _samplings(case: Case, quick: bool) -> Drawn:
    import comfy.model_management
    import models
    import rig
    import torch

    on_gpu = comfy.model_management.get_torch_device().type == "cuda"
    if case.config == "FLUX":
        model, (positive, negative), channels = _flux(quick, torch.bfloat16 if on_gpu else torch.float32)
        cfg = 1.0
    else:
        config = getattr(models, f"TINY_{case.config}" if quick else case.config)
        model = models.random_model(config, torch.float16 if on_gpu else torch.float32, shared=True)
        positive, negative = samplings.prompts(config["context_dim"], PROMPT, 24 if quick else 1280)
        channels, cfg = 4, 7.0
    recorded, _, recording = rig.attach(model, None, rig.RecordOptions(every=case.every))
    side = SMALL if quick else case.side // 8
    latent = {"samples": torch.zeros(case.images, channels, side, side)}

    def sampling(one):
        return lambda steps: rig.sample(one, positive, negative, latent, steps=steps, cfg=cfg)

    drawn = sampling(recorded)
    drawn(1)
    (entry,) = recording.runs[-1].entries
    return Drawn(sampling(model), drawn, len(recording.layout.blocks), len(entry.columns))


def _flux(quick: bool, dtype):
    """(model, prompts, latent channels) of Flux's size."""
    import token_rig
    from stand_in_models import ModelType, shaped

    from hrv_pack.host.text.clip_trace import TAG, tokenize_text

    tokens = 77 if quick else 512
    prompts = [token_rig.prompt("Flux", tokens, seed=seed) for seed in (1, 2)]
    prompts[0][0][1][TAG] = tokenize_text(PROMPT).filled(tokens, before=False)
    if quick:
        return token_rig.tiny("Flux"), prompts, 16
    for ((_, values),) in prompts:
        values["pooled_output"] = values["pooled_output"].repeat(1, 32)  # 768
    prompts = [[[one[0][0].repeat(1, 1, 171)[..., :4096], one[0][1]]] for one in prompts]
    return shaped(FLUX, "Flux", "Flux", ModelType.FLUX, dtype=dtype, shared=True), prompts, 16


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


def _counted(case: Case, drawn: Drawn) -> list[bench.Row]:
    """What recording adds in a step: the difference of two runs, one of two steps more, so that start and end of a run cancel out; both keep
    as many latents of their path. Of Flux, which has several launches for each layer in one evaluation, only what the card does."""
    plain, recorded = (
        [_profiled(sampling, steps) for steps in (8, 10)] for sampling in (drawn.plain, drawn.recorded)
    )

    import torch

    def in_a_step(profiles, names) -> float:
        before, after = (
            sum(event.count for event in found if event.key.startswith(names)) for found in profiles
        )
        return (after - before) / 2

    def work(profiles) -> float:
        before, after = (
            sum(event.self_device_time_total for event in found if event.device_type != on_cpu)
            for found in profiles
        )
        return (after - before) / 2000

    on_cpu = torch.autograd.DeviceType.CPU  # who launches something is credited with its time as well
    one, other = work(plain), work(recorded)
    note = f"by the profiler, {one:.1f} ms → {other:.1f} ms"
    rows = [bench.Row(f"GPU: its own work in a step, {case.name}", other / one, "×", case.target, note=note)]
    for what, names, target, each in (
        ("kernel launches for each layer", LAUNCHES, 6, drawn.layers),
        ("copies between GPU and memory in a step", ("Memcpy HtoD", "Memcpy DtoH"), None, 1),
        ("waits for the GPU in a step", WAITS, 0, 1),
    ):
        added = (in_a_step(recorded, names) - in_a_step(plain, names)) / each
        rows.append(
            bench.Row(
                f"GPU: {what}, {case.name}", added, "", target, note="added by recording, from the profiler"
            )
        )
    return rows if case.config != "FLUX" else rows[:1]


def _profiled(sampling, steps: int):
    """What the profiler sees, by kind."""
    import torch

    activities = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        sampling(steps)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    return profile.key_averages()


if __name__ == "__main__":
    sys.exit(main())
