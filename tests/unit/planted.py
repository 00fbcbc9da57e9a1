"""Recordings in which every word's heat is known: all heads hold the same map, on one grid."""

import torch
from prompts import prompt
from synthetic import LAYOUT, run_of

from hrv_pack.hrv.recording.recording import Entry, Recording

GRID = (16, 16)


def blob(row: int, column: int, size: int = 5, level: float = 0.3, floor: float = 0.01) -> torch.Tensor:
    """A square of `level` around (row, column) on a flat floor."""
    heat = torch.full(GRID, floor)
    half = size // 2
    heat[max(0, row - half) : row + half + 1, max(0, column - half) : column + half + 1] = level
    return heat


FLAT = torch.full(GRID, 0.03)
FAINT = torch.full(GRID, 0.01)
LEFT, RIGHT, MIDDLE = blob(8, 3), blob(8, 12), blob(8, 8)


def entry(
    p, heats: dict[str, torch.Tensor], rest: torch.Tensor = FLAT, index: int = 0, batch: int = 1
) -> Entry:
    """One conditioning. heats: word (as `Prompt.find` takes it) → its map; all other columns get `rest`."""
    columns = p.recorded_columns
    of_column = {column: heat for word, heat in heats.items() for column in p.find(word).columns}
    stack = torch.stack([of_column.get(column, rest) for column in columns])
    maps = {
        number: stack.expand(batch, 1, block.heads, *stack.shape).half().clone()
        for number, block in enumerate(LAYOUT.blocks)
    }
    return Entry("positive", index, p, p.length, columns, [1], batch, maps)


def recording(*entries: Entry, pictures: int = 1):
    """(recording, latent, image) of one run."""
    latent = torch.randn(pictures, 4, 32, 32, generator=torch.Generator().manual_seed(1))
    kept = Recording(LAYOUT, 2**40)
    kept.add(run_of(latent, *entries))
    return kept, latent, torch.rand(pictures, 64, 64, 3, generator=torch.Generator().manual_seed(2))


def planted(text: str, heats: dict[str, torch.Tensor], rest: torch.Tensor = FLAT):
    """(recording, latent, image) of one prompt; commas and other marks are words of their own, as CLIP has them."""
    return recording(entry(prompt(text, text=text.replace(" ,", ",")), heats, rest))
