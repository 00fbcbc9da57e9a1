"""Cost of recording joint attention, at Flux's shape for a 1024² image: one block of the host's own class, on the CPU."""

import contextlib
import statistics
import time

import bench

HEADS, WIDTH, SIDE, TEXT, RECORDED = 24, 3072, 64, 512, 20  # SIDE: tokens along the image
STEPS = 20
CALLS = 5


def measure(quick: bool) -> list[bench.Row]:
    side, text = (8, 32) if quick else (SIDE, TEXT)
    evaluate = _block(side, text)
    note = f"{RECORDED} of {text} tokens, {HEADS} heads, {side * side} + {text} tokens, float32, one double block"
    rows = []
    for name, function, target in (
        ("ComfyUI's choice on a CPU", "attention_sub_quad", 0.05),
        ("pytorch attention", "attention_pytorch", 0.02),
    ):
        plain, recorded, spent = _options(function, text, side)
        parts = []
        for _ in range(1 if quick else CALLS):
            spent.clear()
            whole = bench.seconds(lambda: evaluate(recorded))  # noqa: B023
            parts.append(sum(spent) / (whole - sum(spent)))
        added = statistics.median(parts)
        part = _recorded_part(side, text, function == "attention_pytorch")
        peak = bench.peak_bytes(lambda: evaluate(recorded)) - bench.peak_bytes(lambda: evaluate(plain))  # noqa: B023
        rows += [
            bench.Row(
                f"recording Flux 1024² with {name}, beside the rest of a block where an evaluation is recorded", added, "×",
                note=f"{min(parts):.3f} – {max(parts):.3f} in {len(parts)} calls of {whole:.3g} s; {note}",
            ),
            bench.Row(
                "the same, the mean over a run as `every` 0 chooses", added * part, "×", target,
                note=f"{part:.0%} of {STEPS} evaluations are recorded",
            ),
            bench.Row("the same, added to the peak of memory", max(peak, 0) / 1e6, "MB", note="beside the sums, which every step adds to"),
        ]  # fmt: skip
    return rows


def _options(function: str, text: int, side: int) -> tuple[dict, dict, list[float]]:
    """transformer_options with which a block attends by one of ComfyUI's functions: as it is, and recorded; and seconds that recording took."""
    import comfy.ldm.modules.attention
    import torch

    from hrv_pack.host.facts.options import OPTIMIZED_ATTENTION_OVERRIDE
    from hrv_pack.host.follow.base.following_tokens import may_tell_sums
    from hrv_pack.hrv.recording.joint import JointAttention
    from hrv_pack.hrv.recording.log_sums import LogSums

    chosen = getattr(comfy.ldm.modules.attention, function)
    spent: list[float] = []
    sums = torch.zeros(1, HEADS, side * side, RECORDED + 1).transpose(-1, -2)

    def plain(attention, *given, **named):
        return chosen(*given, **named)

    def recording(attention, q, k, *given, **named):
        told = LogSums() if may_tell_sums(chosen, q.device) else None
        with told or contextlib.nullcontext():
            output = chosen(q, k, *given, **named)
        begun = time.perf_counter()
        attended = JointAttention(q, k, slice(text, q.shape[2]), slice(0, text), log_sums=told and told.found)
        attended.probabilities(slice(0, 1), tuple(range(RECORDED)), text, into=sums)
        spent.append(time.perf_counter() - begun)
        return output

    return {OPTIMIZED_ATTENTION_OVERRIDE: plain}, {OPTIMIZED_ATTENTION_OVERRIDE: recording}, spent


def _block(side: int, text: int):
    """Runs one block, given transformer_options."""
    import comfy.ops
    import torch
    from comfy.ldm.flux.layers import DoubleStreamBlock, EmbedND

    generator = torch.Generator().manual_seed(0)
    operations = comfy.ops.disable_weight_init
    block = DoubleStreamBlock(
        WIDTH, HEADS, 4.0, True, dtype=torch.float32, device="cpu", operations=operations
    )
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter.data, std=0.02, generator=generator)
    block.requires_grad_(False)
    image, words, vector = (
        torch.randn(*shape, generator=generator)
        for shape in ((1, side * side, WIDTH), (1, text, WIDTH), (1, WIDTH))
    )
    places = torch.zeros(1, side * side + text, 3)
    places[0, text:, 1:] = torch.cartesian_prod(torch.arange(side), torch.arange(side)).float()
    rotary = EmbedND(WIDTH // HEADS, 10_000, [16, 56, 56])(places)

    def evaluate(options: dict) -> None:
        with torch.inference_mode():
            block(img=image, txt=words, vec=vector, pe=rotary, transformer_options=options)

    return evaluate


def _recorded_part(side: int, text: int, is_told: bool) -> float:
    """Of the evaluations, as the recorder's schedule chooses for a network of Flux's size."""
    import comfy.ops
    import gpu
    import torch
    from comfy.ldm.flux.model import Flux

    from hrv_pack.host.facts.families import family_of
    from hrv_pack.host.follow.recorded_schedule import AFFORDED
    from hrv_pack.host.follow.token_capture import MOST, recording_cost

    config = {name: value for name, value in gpu.FLUX.items() if name != "image_model"}
    network = Flux(**config, dtype=torch.float32, device="meta", operations=comfy.ops.disable_weight_init)
    place = family_of(network).segments(network, (2 * side, 2 * side), text, {})
    affordable = AFFORDED / recording_cost(network, place, is_told)
    return max(1, int(STEPS * min(MOST, affordable))) / STEPS
