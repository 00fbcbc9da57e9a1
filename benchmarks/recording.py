"""Cost of recording beside the attention itself, layer by layer in SDXL's shapes, on the CPU."""

import bench

# (layers, pixels of a 1024×1024 picture's grid, heads) of SDXL
LAYERS = ((10, (64, 64), 10), (60, (32, 32), 20))
WIDTH, TOKENS, RECORDED = 64, 77, 20
BATCH = 2  # with classifier-free guidance; one of the two rows is recorded


def measure(quick: bool) -> list[bench.Row]:
    import torch
    from comfy.ldm.modules.attention import optimized_attention

    from hrv_pack.hrv.accumulate import Accumulator
    from hrv_pack.hrv.attention import column_probabilities
    from hrv_pack.hrv.layout import Block, Layout
    from hrv_pack.hrv.recording import Entry, Run

    layers = [(grid, heads) for count, grid, heads in LAYERS for _ in range(count)]
    layout = Layout(tuple(Block("middle", 0, number, heads) for number, (_, heads) in enumerate(layers)))
    columns = tuple(range(RECORDED))
    generator = torch.Generator().manual_seed(0)
    # q: (row, pixel, heads · d), k and v: (row, token, heads · d), one set for each shape
    shapes = {
        (grid, heads): [
            torch.randn(BATCH, tokens, heads * WIDTH, generator=generator)
            for tokens in (grid[0] * grid[1], TOKENS, TOKENS)
        ]
        for _, grid, heads in LAYERS
    }

    @torch.inference_mode()
    def attend():
        for grid, heads in layers:
            optimized_attention(*shapes[grid, heads], heads)

    run = Run(layout)
    entry = Entry("positive", 0, None, TOKENS, columns, [0], 1)
    run.entries.append(entry)
    sums = Accumulator(run, 1, 512 * 2**20)

    @torch.inference_mode()
    def attend_and_record():
        for number, (grid, heads) in enumerate(layers):
            q, k, v = shapes[grid, heads]
            maps = column_probabilities(q[:1], k[:1], heads, columns, TOKENS)
            sums.add(entry, number, 0, maps.unflatten(-1, grid))
            optimized_attention(q, k, v, heads)

    found = bench.paired(attend, attend_and_record, 2 if quick else 9)
    return [
        found.row(
            "recording SDXL 1024², added to one evaluation's cross-attention",
            0.20,
            "20 tokens, 1300 heads",
            less=1.0,
        )
    ]
