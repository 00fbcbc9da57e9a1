"""Factors of steering against the plainest computation, token by token and head by head."""

import math

import prompts
import pytest
import torch

from hrv_pack.hrv.heads.known_layouts import SD1, SDXL
from hrv_pack.hrv.heads.selection import HeadSelection
from hrv_pack.hrv.relevance.vectors import HeadRelevance
from hrv_pack.hrv.steer.factors import (
    Where,
    adjust,
    bound,
    missing_words,
    scale,
    scale_values,
    strengthen,
    token_factors,
)


def vectors_of(layout, seed: int = 0) -> HeadRelevance:
    """Few votes, so that some heads are far above the average."""
    generator = torch.Generator().manual_seed(seed)
    votes = (torch.rand(3, layout.heads, generator=generator) ** 8 * 50).round().long()
    votes[0, :3] = 1000
    return HeadRelevance.from_votes(("Animals", "Color", "Size"), votes, layout, {})


@pytest.mark.parametrize("layout", [SD1, SDXL], ids=["SD1", "SDXL"])
@pytest.mark.parametrize("clamp", [0.0, 2.5])
@pytest.mark.parametrize("strength", [0.0, 1.0, -0.5, 2.0])
def test_formulas(layout, clamp, strength):
    vectors = vectors_of(layout)
    b = clamp if clamp else (9.0 if layout.heads > 1000 else math.inf)
    h = {name: vectors.relevance[row].tolist() for row, name in enumerate(vectors.concepts)}
    strengthened = strengthen(vectors, "animals", strength, clamp, Where("cat"))
    adjusted = adjust(vectors, "Animals", "Color", strength=strength, clamp=clamp, where=Where("cat"))
    for n in range(layout.heads):
        want, avoid = min(h["Animals"][n], b), min(h["Color"][n], b)
        assert strengthened.factors[n] == pytest.approx(1 + strength * (want - 1), abs=1e-4)
        assert adjusted.factors[n] == pytest.approx(1 + strength * (2 * want - avoid - 1), abs=1e-4)
    assert strengthened.acts == adjusted.acts == (strength != 0)
    assert strengthened.words == ("cat",)


def test_the_automatic_bound():
    assert bound(1300, 0.0) == 9.0 and bound(128, 0.0) == math.inf and bound(1000, 0.0) == math.inf
    assert bound(1300, 3.0) == bound(128, 3.0) == 3.0


def test_scaling():
    weights = torch.zeros(SD1.heads)
    weights[[3, 77]] = torch.tensor([1.0, 4.5])
    scaled = scale(HeadSelection(SD1, weights), -2.0, Where())
    assert scaled.factors[[3, 77]].tolist() == [-2.0, -2.0] and scaled.factors.sum() == SD1.heads - 6
    assert scaled.words == () and scaled.acts
    assert not scale(HeadSelection(SD1, weights), 1.0, Where()).acts
    assert not scale(HeadSelection(SD1, torch.zeros(SD1.heads)), -2.0, Where()).acts


def test_an_empty_part_of_the_schedule_is_an_error():
    heads = HeadSelection(SD1, torch.ones(SD1.heads))
    with pytest.raises(
        ValueError, match=r"Scale Heads would do nothing: start_percent \(0.5\) must be smaller"
    ):
        scale(heads, -2.0, Where("cat", 0.5, 0.5))


def test_made_for_another_model():
    for steering, words in (
        (
            strengthen(vectors_of(SDXL), "Color", 1.0, 0.0, Where()),
            "for 1300 heads .SDXL.; this model has 128",
        ),
        (scale(HeadSelection(SDXL, torch.ones(SDXL.heads)), 0.0, Where()), "1300 heads; this model has 128"),
    ):
        steering.check(SDXL)
        with pytest.raises(ValueError, match=words):
            steering.check(SD1)


def test_factors_of_tokens_multiply():
    """Two nodes: each token's factor is the product over the nodes that name it, and a token counts once in each."""
    prompt = prompts.prompt("a red cat and a cat")
    vectors = vectors_of(SD1)
    first = strengthen(vectors, "Animals", 1.0, 0.0, Where("cat, red cat\ncat#2"))
    second = adjust(vectors, "Color", "Size", strength=0.5, clamp=0.0, where=Where("red"))
    found = token_factors([first, second], prompt, SD1.heads)
    columns = {name: prompt.find(name).columns for name in ("red", "cat#1", "cat#2")}
    assert found.columns == tuple(sorted(c for cs in columns.values() for c in cs))
    expected = {
        columns["red"]: first.factors * second.factors,
        columns["cat#1"]: first.factors,
        columns["cat#2"]: first.factors,
    }
    for (column,), factors in expected.items():
        assert torch.equal(found.factors[found.columns.index(column)], factors)


def test_no_words_means_every_word_but_no_start_end_or_comma():
    prompt = prompts.prompt("a cat , red")
    found = token_factors([scale(HeadSelection(SD1, torch.ones(128)), 0.0, Where(" , "))], prompt, 128)
    assert found.columns == (1, 2, 4) and not found.factors.any()


def test_words_that_are_not_there():
    cat, dog = prompts.prompt("a red cat"), prompts.prompt("two dogs")
    steering = scale(HeadSelection(SD1, torch.ones(128)), 0.0, Where("dogs, zebra, ret, dogs#2"))
    assert token_factors([steering], cat, 128).columns == ()
    assert token_factors([steering], dog, 128).columns == (2,)
    zebra, ret, second = missing_words(steering, [cat, dog])
    assert zebra == "“zebra” is not in the prompt. The prompt's words are: red, cat, two, dogs."
    assert "Did you mean “red”?" in ret and "asks for occurrence 2" in second
    twice = scale(HeadSelection(SD1, torch.ones(128)), 0.0, Where("cat#2"))
    assert missing_words(twice, [cat, prompts.prompt("a cat")]) == [
        "“cat#2” is not complete in any one of the 2 prompts."
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_scaled_values(dtype):
    """Every number alone; rows, tokens and heads that are not meant keep every bit."""
    generator = torch.Generator().manual_seed(0)
    rows, tokens, heads, d = 4, 6, 3, 5
    before = torch.randn(rows, tokens, heads * d, generator=generator).to(dtype)
    factors = torch.randn(2, heads, generator=generator)
    after = before.clone()
    scale_values(after, slice(1, 3), torch.tensor([4, 1]), factors)
    for row in range(rows):
        for token in range(tokens):
            for channel in range(heads * d):
                value = before[row, token, channel]
                if row in (1, 2) and token in (4, 1):
                    value = (value.float() * factors[(4, 1).index(token), channel // d]).to(dtype)
                assert torch.equal(after[row, token, channel], value)


def test_scaling_values_is_scaling_attention():
    """Σ_j r_j P_j V_j, the map multiplied after the softmax, in float64."""
    generator = torch.Generator().manual_seed(1)
    heads, d, pixels, tokens = 2, 4, 7, 9
    q, k, v = (torch.randn(1, n, heads * d, generator=generator).double() for n in (pixels, tokens, tokens))
    split = lambda t: t.unflatten(-1, (heads, d)).transpose(1, 2)  # noqa: E731  (1, head, token, d)
    p = torch.softmax(split(q) @ split(k).transpose(-1, -2) / d**0.5, dim=-1)
    factors, columns = torch.randn(3, heads, generator=generator), torch.tensor([2, 5, 8])
    steered = p.clone()
    steered[..., columns] *= factors.T[None, :, None, :]
    values = v.clone()
    scale_values(values, slice(0, 1), columns, factors)
    assert torch.allclose(p @ split(values), steered @ split(v), atol=1e-6)
