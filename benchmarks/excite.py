"""What Attend and Excite costs on a full-size SD 1.5 network (random weights): time of an evaluation, and memory at its peak.

Peaks are bytes of tensors as PyTorch's allocator counts them, without the model's weights.
"""

import contextlib
from unittest import mock

import bench
import samplings

# latent pixels: 256 × 256 for pairs that are short enough to repeat, 512 × 512 for memory
SMALL, SIDE, QUICK = 32, 64, 16
MB = 2**20


def measure(quick: bool) -> list[bench.Row]:
    import comfy.ldm.modules.attention as attention
    import models
    import rig
    import torch

    from hrv_pack.host.follow import gradients
    from hrv_pack.host.follow.exciter import excite
    from hrv_pack.hrv.steer.attend_excite import Excitement

    model = models.random_model(models.SD1, shared=True)
    excited, _ = excite(model, None, Excitement(("car", "bridge"), end_percent=1.0))
    prompts = samplings.prompts(models.SD1["context_dim"])
    small, side = (QUICK, QUICK) if quick else (SMALL, SIDE)

    def sample(one, side=small):
        return rig.sample(one, *prompts, {"samples": torch.zeros(1, 4, side, side)}, steps=1)

    def kept_whole(one, side=small):
        with mock.patch.object(gradients, "_checkpointed", lambda *args: contextlib.nullcontext()):
            return sample(one, side)

    if torch.equal(sample(model), sample(excited)):
        raise SystemExit("Nothing was excited.")
    pairs, note = 1 if quick else 5, f"{8 * small}², two words, cfg"
    found = bench.paired(lambda: sample(model), lambda: sample(excited), pairs)
    rows = [found.row("one evaluation of SD 1.5 with Attend and Excite, against plain", None, note)]
    found = bench.paired(lambda: kept_whole(excited), lambda: sample(excited), pairs)
    rows.append(found.row("the same with blocks checkpointed, against without", None, note))
    with mock.patch.object(
        attention, "optimized_attention", attention.attention_pytorch
    ):  # fused, as on a GPU
        plain = bench.peak_bytes(lambda: sample(model, side))
        for name, run in (("", sample), (", without checkpointing", kept_whole)):
            peak = bench.peak_bytes(lambda run=run: run(excited, side))
            note = f"float32, {8 * side}², one picture; plain sampling {plain / MB:.0f} MiB"
            rows.append(bench.Row(f"peak memory with Attend and Excite{name}", peak / MB, "MiB", note=note))
    return rows
