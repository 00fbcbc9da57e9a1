"""Cost of recording joint attention, at Flux's shape for a 1024² image: one block of the host's own class, on the CPU."""

import statistics

import bench

HEADS, WIDTH, SIDE, TEXT, RECORDED = 24, 3072, 64, 512, 20  # SIDE: tokens along the image
STEPS = 20


def measure(quick: bool) -> list[bench.Row]:
    import torch

    from hrv_pack.host.facts.options import OPTIMIZED_ATTENTION_OVERRIDE

    side, text = (8, 32) if quick else (SIDE, TEXT)
    evaluate = _block(side, text)
    sums = torch.zeros(1, HEADS, side * side, RECORDED + 1).transpose(-1, -2)

    def recording(attention, q, k, *given, **named):
        _record(q, k, text, sums)
        return attention(q, k, *given, **named)

    options = {OPTIMIZED_ATTENTION_OVERRIDE: recording}
    found = bench.paired(lambda: evaluate({}), lambda: evaluate(options), 1 if quick else 3)
    added = statistics.median(b / a for a, b in zip(found.plain, found.changed, strict=True)) - 1
    peak = bench.peak_bytes(lambda: evaluate(options)) - bench.peak_bytes(lambda: evaluate({}))
    note = f"{RECORDED} of {text} tokens, {HEADS} heads, {side * side} + {text} tokens, float32, one double block"
    part = _recorded_part(side * side + text)
    return [
        found.row("recording Flux 1024², added to a block in an evaluation that is recorded", None, note, less=1.0),
        bench.Row(
            "the same, the mean over a run as `every` 0 chooses", added * part, "×", 0.05,
            note=f"{part:.0%} of {STEPS} evaluations are recorded",
        ),
        bench.Row("the same, added to the peak of memory", max(peak, 0) / 1e6, "MB", note="beside the sums, which every step adds to"),
    ]  # fmt: skip


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


def _record(q, k, text: int, sums) -> None:
    from hrv_pack.hrv.recording.joint import JointAttention

    attention = JointAttention(q, k, slice(text, q.shape[2]), slice(0, text))
    attention.probabilities(slice(0, 1), tuple(range(RECORDED)), text, into=sums)


def _recorded_part(tokens: int) -> float:
    """Of the evaluations, as the recorder's schedule chooses for a network of Flux's size."""
    import comfy.ops
    import gpu
    import torch
    from comfy.ldm.flux.model import Flux

    from hrv_pack.host.facts.families import recording_cost
    from hrv_pack.host.follow.recorded_schedule import AFFORDED

    config = {name: value for name, value in gpu.FLUX.items() if name != "image_model"}
    network = Flux(**config, dtype=torch.float32, device="meta", operations=comfy.ops.disable_weight_init)
    affordable = AFFORDED / recording_cost(network, tokens)
    return max(1, int(STEPS * min(1.0, affordable))) / STEPS
