"""Cost of recording beside the attention itself, layer by layer in SDXL's shapes, on the CPU; and what it cannot go below."""

import statistics

import bench

WIDTH, TOKENS, RECORDED = 64, 77, 20
SIDE = 1024  # of the picture
BATCH = 2  # with classifier-free guidance; one of the two rows is recorded


class Layers:
    """SDXL's cross-attention layers in order, with random queries, keys and values: one set for each shape."""

    def __init__(self, side: int = SIDE):
        import recordings
        import torch

        from hrv_pack.hrv.heads.known_layouts import SDXL

        generator = torch.Generator().manual_seed(0)
        self.layout = SDXL
        self.layers = [(recordings.grid_of(block, side), block.heads) for block in SDXL.blocks]
        # q: (row, pixel, heads · d), k and v: (row, token, heads · d)
        self.shapes = {
            (grid, heads): [
                torch.randn(BATCH, tokens, heads * WIDTH, generator=generator)
                for tokens in (grid[0] * grid[1], TOKENS, TOKENS)
            ]
            for grid, heads in dict.fromkeys(self.layers)
        }

    def attend(self, before=lambda number, q, k: None) -> None:
        """One evaluation of all layers; before each, `before` sees its queries and keys."""
        import torch
        from comfy.ldm.modules.attention import optimized_attention

        with torch.inference_mode():
            for number, (grid, heads) in enumerate(self.layers):
                q, k, v = self.shapes[grid, heads]
                before(number, q, k)
                optimized_attention(q, k, v, heads)

    def recorder(self, columns=RECORDED, limit: int = 512 * 2**20):
        """(sums, entry, before): an accumulator, its entry, and what records the first row of a layer into it."""
        import torch

        from hrv_pack.hrv.recording.probabilities import column_probabilities
        from hrv_pack.hrv.recording.recording import Entry, Run
        from hrv_pack.hrv.recording.sums import Accumulator

        run = Run(self.layout)
        kept = tuple(range(columns))
        entry = Entry("positive", 0, None, TOKENS, kept, [0], 1)
        run.entries.append(entry)
        sums = Accumulator(run, 1, limit)

        def record(number, q, k):
            grid, heads = self.layers[number]
            room = sums.room(entry, number, 0, (1, heads, columns, *grid), torch.device("cpu"))
            column_probabilities(q[:1], k[:1], heads, kept, TOKENS, into=room.view(1, heads, columns, -1))

        return sums, entry, record


def measure(quick: bool) -> list[bench.Row]:
    layers = Layers()
    _, _, record = layers.recorder()
    found = bench.paired(layers.attend, lambda: layers.attend(record), 2 if quick else 9)
    floor, how = _floor(layers, statistics.median(found.plain))
    return [
        found.row(
            "recording SDXL 1024², added to one evaluation's cross-attention", 0.20,
            f"{RECORDED} tokens, {layers.layout.heads} heads, batch {BATCH}", less=1.0,
        ),
        bench.Row("the least it could be, at this machine's rates", floor, "×", note=how),
    ]  # fmt: skip


def _floor(layers: Layers, plain: float) -> tuple[float, str]:
    """Share of `plain` seconds that the products, the exponentials and the sums' way to memory and back must take."""
    import torch

    logits = sum(grid[0] * grid[1] * heads for grid, heads in layers.layers) * TOKENS
    kept = logits // TOKENS * RECORDED
    square, small, large = torch.rand(1024, 1024), torch.rand(2**17), torch.rand(2**25)
    with torch.inference_mode():
        flops = 2 * 1024**3 / (bench.median_ms(lambda: torch.mm(square, square), 9) / 1e3)
        exps = 64 * small.numel() / (bench.median_ms(lambda: [torch.exp(small) for _ in range(64)], 9) / 1e3)
        floats = large.numel() / (bench.median_ms(lambda: large.add_(1.0), 5) / 1e3)
    products = 2 * logits * WIDTH
    seconds = products / flops + logits / exps + kept / floats
    how = (
        f"{products / 1e9:.1f} GFLOP at {flops / 1e9:.0f} GFLOP/s, {logits / 1e6:.0f} M exponentials at {exps / 1e9:.2g} G/s, "
        f"{kept / 1e6:.0f} M sums read and written at {floats / 1e9:.2g} G/s"
    )
    return seconds / plain, how
