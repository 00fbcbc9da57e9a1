"""How far every way of computing a recording is from float64: the largest error of a word's map, over the map's maximum.

Queries and keys are random, with logits as far apart as real ones: the start token ahead by 6, words by up to 4.
"""

from unittest import mock

import bench

HEADS, WIDTH, TOKENS, RECORDED, EVALUATIONS = 10, 64, 77, 20, 4
GRID = (64, 64)
TARGET = 1e-3


def measure(quick: bool) -> list[bench.Row]:
    import torch

    from hrv_pack.hrv.recording import probabilities as attention

    half, brain, single = torch.float16, torch.bfloat16, torch.float32
    rows = [
        _row("on the CPU", single),
        _row("on the CPU, queries and keys in float16", half),
        _row("on the CPU, queries and keys in bfloat16", brain),
    ]
    with mock.patch.object(attention, "may_look", lambda device: False):
        rows.append(_row("the way of other devices (softmax), run on the CPU", single))
    if torch.cuda.is_available():
        rows.append(_row("on the GPU, float16", half, "cuda"))
    return rows + _pooled()


def inputs(number: int, dtype):
    """Queries (1, pixel, heads · d) and keys (1, token, heads · d) of one evaluation."""
    import torch

    generator = torch.Generator().manual_seed(number)
    q = torch.randn(1, GRID[0] * GRID[1], HEADS, WIDTH, generator=generator)
    k = torch.randn(1, TOKENS, HEADS, WIDTH, generator=generator) * 1.5
    q[..., 0] = 1.0
    k[:, 0, :, 0] += 6 * WIDTH**0.5
    return q.flatten(2).to(dtype), k.flatten(2).to(dtype)


def exact(dtype):
    """Word maps in float64 of the same numbers: (token, height, width), the mean over heads and evaluations."""
    import torch

    total = torch.zeros(RECORDED, *GRID, dtype=torch.float64)
    for number in range(EVALUATIONS):
        q, k = (one.double().unflatten(-1, (HEADS, WIDTH)) for one in inputs(number, dtype))
        logits = torch.einsum("rphd,rthd->rhpt", q, k) * WIDTH**-0.5
        p = logits.softmax(-1)[0, :, :, :RECORDED].mean(0)  # (pixel, token)
        total += p.T.unflatten(-1, GRID)
    return total / EVALUATIONS


def _recorded(dtype, device: str):
    """The same, recorded: float32 (token, height, width), out of half precision at rest."""
    import torch

    from hrv_pack.hrv.heads.layout import Block, Layout
    from hrv_pack.hrv.recording.probabilities import column_probabilities
    from hrv_pack.hrv.recording.recording import Entry, Run
    from hrv_pack.hrv.recording.sums import Accumulator

    device = torch.device(device)
    columns = tuple(range(RECORDED))
    entry = Entry("positive", 0, None, TOKENS, columns, [EVALUATIONS], 1)
    sums = Accumulator(Run(Layout((Block("middle", 0, 0, HEADS),)), [entry]), 1, 2**30)
    for number in range(EVALUATIONS):
        q, k = (one.to(device) for one in inputs(number, dtype))
        room = sums.room(entry, 0, 0, (1, HEADS, RECORDED, *GRID), device)
        column_probabilities(q, k, HEADS, columns, TOKENS, into=room.view(1, HEADS, RECORDED, -1))
    sums.finish()
    return entry.maps[0][0, 0].float().mean(0) / EVALUATIONS


def _row(name: str, dtype, device: str = "cpu") -> bench.Row:
    truth, found = exact(dtype), _recorded(dtype, device)
    errors = (found.double() - truth).abs().amax((-2, -1)) / truth.amax((-2, -1))
    note = f"{RECORDED} words, {HEADS} heads, {EVALUATIONS} evaluations, kept in half precision"
    return bench.Row(f"error of a word's map, {name}", float(errors.max()), "", TARGET, note=note)


def _pooled() -> list[bench.Row]:
    """Maps that were made smaller: their mean against that of the unpooled ones."""
    import torch

    from hrv_pack.hrv.recording.sums import resize_maps

    truth = exact(torch.float32)
    small = resize_maps(truth.float(), (GRID[0] // 2, GRID[1] // 2)).double()
    error = float(((small.mean((-2, -1)) - truth.mean((-2, -1))).abs() / truth.mean((-2, -1))).max())
    return [bench.Row("error of a word's mean share after pooling to a memory limit", error, "", TARGET)]
