"""What a recording takes: at rest, at its peak, and under a limit. Counted in bytes of tensors, exactly."""

import bench

TOKENS = 20
MB = 2**20


def measure(quick: bool) -> list[bench.Row]:
    rest, peak, _ = _record(1024, 512 * MB)
    rows = [
        bench.Row("recording SDXL 1024², 20 tokens, at rest", rest / 1e6, "MB", 70, note="half precision"),
        bench.Row("the same while recording", peak / rest, "× at rest", 2, note="sums in float32, counted"),
    ]
    limit = 64 * MB
    rest, _, pooled = _record(2048, limit)
    rows.append(
        bench.Row("recording SDXL 2048² under a limit of 64 MiB", rest / MB, "MiB", 64, note=f"{pooled} layers pooled")
    )  # fmt: skip
    return rows


def _record(side: int, limit: int) -> tuple[int, int, int]:
    """Bytes at rest, largest number of bytes of sums while recording, and how many layers were pooled."""
    import recordings
    import torch

    from hrv_pack.hrv.accumulate import Accumulator
    from hrv_pack.hrv.known_layouts import SDXL
    from hrv_pack.hrv.recording import Entry, Run

    run = Run(SDXL)
    entry = Entry("positive", 0, None, 77, tuple(range(TOKENS)), [0], 1)
    run.entries.append(entry)
    sums = Accumulator(run, 1, limit)
    peak = 0
    for number, block in enumerate(SDXL.blocks):
        maps = torch.full((1, block.heads, TOKENS, *recordings.grid_of(block, side)), 0.05)
        sums.add(entry, number, 0, maps)
        held = sum(m.numel() * m.element_size() for m in entry.maps.values())
        peak = max(peak, held + maps.numel() * maps.element_size())
    entry.counts[0] = 1
    sums.finish()
    return sum(m.numel() * m.element_size() for m in entry.maps.values()), peak, sums.pooled_blocks
