"""What a recording takes: at rest, at its peak, step by step, and under a limit. Counted, in bytes of tensors."""

import bench

MB = 2**20


def measure(quick: bool) -> list[bench.Row]:
    rest, added, steps = _measured()
    rows = [
        bench.Row("recording SDXL 1024², 20 tokens, at rest", rest / 1e6, "MB", 70, note="half precision"),
        bench.Row(
            "the same while recording, above the peak of the same attention without", added / rest, "×", 2,
            note=f"{added / 1e6:.0f} MB, of what rests; sums in float32",
        ),
        bench.Row("the same after 4 evaluations against after 1", steps, "×", 1, note="flat in steps"),
    ]  # fmt: skip
    limit = 64 * MB
    rest, pooled = _limited(2048, limit)
    return [
        *rows,
        bench.Row("recording SDXL 2048² under a limit of 64 MiB", rest / MB, "MiB", 64,
                  note=f"{pooled} layers pooled, and the recording says so"),
    ]  # fmt: skip


def _measured() -> tuple[int, int, float]:
    """Bytes at rest; bytes that recording adds to the peak of the attention; sums after four evaluations over after one."""
    import recording

    layers = recording.Layers()
    plain = bench.peak_bytes(layers.attend)
    sums, entry, record = layers.recorder()
    held = []

    def recorded():
        layers.attend(record)
        held.append(entry.nbytes)
        entry.counts[0] = 1
        sums.finish()

    peak = bench.peak_bytes(recorded)
    _, again, record = layers.recorder()
    for _ in range(4):
        for number, shape in enumerate(layers.layers):
            q, k, _ = layers.shapes[shape]
            record(number, q, k)
    return entry.nbytes, peak - plain, again.nbytes / held[0]


def _limited(side: int, limit: int) -> tuple[int, int]:
    """Bytes at rest, and how many layers were pooled."""
    import recordings
    import torch

    from hrv_pack.hrv.heads.known_layouts import SDXL
    from hrv_pack.hrv.recording.recording import Run

    def maps_of(block):
        return torch.full((1, block.heads, 20, *recordings.grid_of(block, side)), 0.05)

    entry, sums = recordings.at_rest(Run(SDXL), 20, limit, maps_of)
    return entry.nbytes, sums.pooled_blocks
