"""Maps, loss and step of Attend and Excite against the plainest computation, and its gradient against differences."""

import math

import prompts
import pytest
import torch

from hrv_pack.hrv.heads.known_layouts import SD1, SDXL
from hrv_pack.hrv.heads.layout import Block, Layout
from hrv_pack.hrv.relevance.vectors import HeadRelevance
from hrv_pack.hrv.steer.attend_excite import (
    Excitement,
    competing_maps,
    grids_of,
    neglect,
    small_grid,
    smoothed,
    weighted_map,
    weights_on,
)

SD1_LEVELS = [0, 0, 1, 1, 2, 2, 3, 2, 2, 2, 1, 1, 1, 0, 0, 0]
SDXL_LEVELS = [1] * 4 + [2] * 20 + [2] * 10 + [2] * 30 + [1] * 6
ROWS, HEADS, WIDTH, GRID = 2, 3, 4, (3, 4)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def attention(tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """q (row, pixel, heads · d) and k (row, token, heads · d)."""
    pixels = GRID[0] * GRID[1]
    return noise(ROWS, pixels, HEADS * WIDTH, seed=1), noise(ROWS, tokens, HEADS * WIDTH, seed=2)


def plain_map(q, k, weights, length: int, row: int) -> list[list[float]]:
    """Σ_n w_n P_n[x, j], one number at a time: [pixel][column]."""
    out = [[0.0] * length for _ in range(q.shape[1])]
    for head, weight in enumerate(weights.tolist()):
        part = slice(head * WIDTH, (head + 1) * WIDTH)
        for pixel in range(q.shape[1]):
            logits = [
                float(q[row, pixel, part] @ k[row, t, part]) / math.sqrt(WIDTH) for t in range(k.shape[1])
            ]
            total = sum(math.exp(logit) for logit in logits)
            for token, logit in enumerate(logits):
                out[pixel][token % length] += weight * math.exp(logit) / total
    return out


def plain_loss(mean: list[list[float]], columns, words, smoothing: bool) -> float:
    """max over words of 1 − max over pixels, of one row."""
    maps = []
    for word in words:
        shares = []
        for pixel in mean:
            total = sum(math.exp(100 * pixel[c]) for c in columns)
            shares.append(sum(math.exp(100 * pixel[c]) for c in word) / total)
        maps.append(shares)
    if smoothing:
        maps = [plain_smooth(m) for m in maps]
    return max(max(0.0, 1 - max(m)) for m in maps)


def plain_smooth(values: list[float]) -> list[float]:
    height, width = GRID
    mirrored = lambda place, size: -place if place < 0 else 2 * (size - 1) - place if place >= size else place  # noqa: E731
    line = [math.exp(-(d**2) / 0.5) for d in (-1, 0, 1)]
    out = []
    for y in range(height):
        for x in range(width):
            out.append(
                sum(
                    line[dy + 1]
                    * line[dx + 1]
                    * values[mirrored(y + dy, height) * width + mirrored(x + dx, width)]
                    for dy in (-1, 0, 1)
                    for dx in (-1, 0, 1)
                )
                / sum(line) ** 2
            )
    return out


@pytest.mark.parametrize("smoothing", [True, False])
@pytest.mark.parametrize("repeats", [1, 2])
def test_loss_is_the_plainest_sum(smoothing, repeats):
    """Two rows, three heads with weights, a word of two tokens; a prompt that the host has padded by repeating it."""
    prompt = prompts.prompt("a red cow|boy", width=8)
    words = [prompt.find("red").columns, prompt.find("cowboy").columns]
    assert [len(w) for w in words] == [1, 2]
    q, k = attention(8 * repeats)
    weights = torch.tensor([[0.5, 0.2, 0.3], [0.0, 1.0, 0.0]])
    mean = weighted_map(q, k, weights, 8)
    assert mean.shape == (2, ROWS, 12, 8) and mean.dtype == torch.float64
    competing = [t.column for t in prompt.tokens if t.kind != "start"]
    for choice, row in ((c, r) for c in range(2) for r in range(ROWS)):
        plain = plain_map(q, k, weights[choice].double(), 8, row)
        assert torch.allclose(mean[choice, row], torch.tensor(plain, dtype=torch.float64), atol=1e-7)
        maps = competing_maps(mean[choice], prompt, words, GRID, smoothing)
        assert maps.shape == (ROWS, 2, *GRID)
        wanted = plain_loss(plain, competing, words, smoothing)
        assert 0 < wanted < 1
        assert float(neglect(maps)[row]) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("smoothing", [True, False])
def test_gradient_is_that_of_differences(smoothing):
    """By torch's own finite differences, in float64, for queries and keys."""
    prompt = prompts.prompt("a red cat", width=6)
    words = [prompt.find("red").columns, prompt.find("cat").columns]
    q, k = (0.1 * t for t in attention(6))

    def loss(queries, keys):
        mean = weighted_map(queries, keys, torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64), 6)
        return neglect(competing_maps(mean[0], prompt, words, GRID, smoothing))

    assert 0.1 < float(loss(q, k).min()) < 0.999
    assert torch.autograd.gradcheck(loss, (q.requires_grad_(), k.requires_grad_()))


def test_half_precision_is_computed_in_single():
    q, k = (t.half() for t in attention(5))
    assert weighted_map(q, k, torch.ones(1, 3) / 3, 5).dtype == torch.float32


@pytest.mark.parametrize("grid", [(1, 5), (4, 1), (1, 1)])
def test_a_grid_of_one_pixel_can_be_smoothed(grid):
    maps = torch.rand(2, 3, *grid)
    assert smoothed(maps).shape == maps.shape
    assert torch.allclose(smoothed(torch.full((1, 1, *grid), 0.5)), torch.full((1, 1, *grid), 0.5))


def test_a_word_that_is_looked_at_costs_nothing():
    """All attention on one word at one pixel: no loss for it, nearly 1 for the other."""
    prompt = prompts.prompt("cat dog", width=5)
    cat, dog = (prompt.find(w).columns for w in ("cat", "dog"))
    mean = torch.zeros(1, 12, 5)
    mean[0, 7, cat[0]] = 1.0
    alone = neglect(competing_maps(mean, prompt, [cat], GRID, smoothing=False))
    both = neglect(competing_maps(mean, prompt, [cat, dog], GRID, smoothing=False))
    assert float(alone) < 1e-6 and float(both) == pytest.approx(1 - 1 / 4, abs=1e-3)


@pytest.mark.parametrize(
    ("layout", "levels", "latent", "grid", "heads"),
    [
        (SD1, SD1_LEVELS, (64, 64), (16, 16), 40),
        (SD1, SD1_LEVELS, (64, 96), (16, 24), 40),
        (SD1, SD1_LEVELS, (96, 96), (24, 24), 40),  # 12 × 12 is nearer, but the middle block's alone
        (SD1, SD1_LEVELS, (128, 128), (32, 32), 40),
        (SDXL, SDXL_LEVELS, (128, 128), (32, 32), 1200),
        (SDXL, SDXL_LEVELS, (104, 152), (26, 38), 1200),
    ],
)
def test_which_layers_are_looked_at(layout, levels, latent, grid, heads):
    layers = small_grid(layout, levels, latent)
    (level,) = {levels[number] for number in layers}
    assert tuple(side // 2**level for side in latent) == grid
    assert sum(layout.blocks[number].heads for number in layers) == heads
    assert layers == tuple(sorted(layers))


def test_a_network_with_attention_in_the_middle_alone():
    layout = Layout((Block("middle", 0, 0, 8),))
    assert grids_of([2], layout) == (2,) and small_grid(layout, [2], (64, 64)) == (0,)


def test_heads_count_as_they_care():
    votes = torch.randint(0, 50, (2, 128), generator=torch.Generator().manual_seed(3))
    vectors = HeadRelevance.from_votes(("Animals", "Color"), votes, SD1, {})
    layers = small_grid(SD1, SD1_LEVELS, (64, 64))
    numbers = [n for number in layers for n in range(SD1.offsets[number], SD1.offsets[number + 1])]
    found = weights_on(Excitement(vectors=vectors, concept="color"), SD1, layers)
    wanted = [float(vectors.of("Color")[n]) for n in numbers]
    assert torch.allclose(found, torch.tensor(wanted) / sum(wanted))
    assert torch.allclose(weights_on(Excitement(), SD1, layers), torch.full((40,), 1 / 40))


def test_heads_that_do_not_care_at_all():
    votes = torch.ones(2, 128, dtype=torch.int64)
    layers = small_grid(SD1, SD1_LEVELS, (64, 64))
    for number in layers:
        votes[0, SD1.span(number)] = 0
    vectors = HeadRelevance.from_votes(("Animals", "Color"), votes, SD1, {})
    with pytest.raises(ValueError, match="none of the 40 heads that it looks at has any relevance"):
        weights_on(Excitement(vectors=vectors, concept="Animals"), SD1, layers)
    weights_on(Excitement(vectors=vectors, concept="Color"), SD1, layers)


def test_steps_over_the_schedule():
    excitement = Excitement(strength=2.0, start_percent=0.2, end_percent=0.5)
    assert [excitement.step(p) for p in (0.0, 0.19, 0.51, 1.0)] == [0.0] * 4
    assert excitement.step(0.2) == pytest.approx(40 * 0.9) and excitement.step(0.5) == pytest.approx(
        40 * 0.75
    )
    assert Excitement(end_percent=1.0).step(1.0) == pytest.approx(10.0)


def test_which_words():
    prompt = prompts.prompt("a red cat and a dog on grass", "a cat")
    assert Excitement(("cat", "horse", "red cat")).columns(prompt) == [
        prompt.find("cat").columns,
        prompt.find("red cat").columns,
    ]
    assert len(prompt.find("cat").columns) == 2
    nouns = [prompt.find(w).columns for w in ("cat#1", "dog", "cat#2")]
    assert Excitement().columns(prompt) == nouns  # not the grass, which is where they are
    assert Excitement().columns(prompts.prompt("")) == []
    tags = prompts.prompt(
        "masterpiece , best quality , a red cat", text="masterpiece, best quality, a red cat"
    )
    assert Excitement().columns(tags) == [tags.find("cat").columns]  # no thing is called “quality”


def test_mistakes():
    with pytest.raises(ValueError, match="would do nothing: start_percent"):
        Excitement(start_percent=0.5, end_percent=0.5)
    votes = torch.ones(2, 128, dtype=torch.int64)
    vectors = HeadRelevance.from_votes(("Animals", "Color"), votes, SD1, {})
    with pytest.raises(ValueError, match="no concept “Colour”. Did you mean “Color”"):
        Excitement(vectors=vectors, concept="Colour")
