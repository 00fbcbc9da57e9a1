"""Made-up recordings in SDXL's shape, for timing what reads them."""


def sdxl(text: str, side: int = 1024, batch: int = 1):
    """(latent, recording) of a random run: `side` in pixels of the picture, maps of every recorded column."""
    import synthetic
    import torch

    from hrv_pack.host.text.clip_trace import tokenize_text
    from hrv_pack.hrv.heads.known_layouts import SDXL
    from hrv_pack.hrv.recording.recording import Recording

    prompt = tokenize_text(text)
    grids = tuple(grid_of(block, side) for block in SDXL.blocks)
    entry = synthetic.entry(prompt, batch=batch, grids=grids, layout=SDXL)
    latent = torch.zeros(batch, 4, side // 8, side // 8)
    recording = Recording(SDXL, 4 * 2**30)
    recording.add(synthetic.run_of(latent, entry, layout=SDXL))
    return latent, recording


def at_rest(run, columns: int, limit: int, maps_of):
    """(entry, sums) of one evaluation of SDXL's layers that has come to rest in a run, within a limit of bytes. maps_of: block
    of a layer → its maps."""
    from hrv_pack.hrv.recording.recording import Entry
    from hrv_pack.hrv.recording.sums import Accumulator

    entry = Entry("positive", 0, None, 77, tuple(range(columns)), [1], 1)
    run.entries.append(entry)
    sums = Accumulator(run, 1, limit)
    for number, block in enumerate(run.layout.blocks):
        sums.add(entry, number, 0, maps_of(block))
    sums.finish()
    return entry, sums


def grid_of(block, side: int) -> tuple[int, int]:
    """Height and width of an SDXL layer's grid for a square picture of `side` pixels."""
    outer = (block.part == "input" and block.index < 6) or (block.part == "output" and block.index > 2)
    return (side // (16 if outer else 32),) * 2
