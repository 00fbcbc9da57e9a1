"""P = softmax(QKᵀ/√d), some columns of it, against the plainest computation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrv_pack.hrv.recording import probabilities as attention
from hrv_pack.hrv.recording.probabilities import column_probabilities


def plain(q, k, heads: int) -> torch.Tensor:
    """(row, head, pixel, token) in float64, one head of one row at a time."""
    rows, d = q.shape[0], q.shape[-1] // heads
    out = torch.empty(rows, heads, q.shape[1], k.shape[1], dtype=torch.float64)
    for row in range(rows):
        for head in range(heads):
            span = slice(head * d, (head + 1) * d)
            logits = q[row, :, span].double() @ k[row, :, span].double().T
            out[row, head] = torch.softmax(logits / d**0.5, dim=-1)
    return out


def random(*shape: int, seed: int = 0, dtype=torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 3),
    heads=st.integers(1, 5),
    d=st.sampled_from([1, 4, 8]),
    pixels=st.integers(1, 12),
    length=st.integers(1, 9),
    repeats=st.integers(1, 3),
    data=st.data(),
)
def test_equals_the_plain_computation(rows, heads, d, pixels, length, repeats, data):
    columns = data.draw(st.lists(st.integers(0, length - 1), unique=True, max_size=length).map(sorted))
    q, k = random(rows, pixels, heads * d), random(rows, length * repeats, heads * d, seed=1)
    found = column_probabilities(q, k, heads, columns, length)
    assert found.shape == (rows, heads, len(columns), pixels) and found.dtype == torch.float32
    p = plain(q, k, heads)
    folded = sum(p[..., r * length : (r + 1) * length] for r in range(repeats))
    assert torch.allclose(found.double(), folded[..., columns].transpose(-1, -2), atol=1e-5)


def test_a_prompt_padded_by_repetition_is_the_prompt_itself():
    """Repeating all keys changes no probability once the repeats are added up."""
    q, k = random(2, 6, 8), random(2, 7, 8, seed=1)
    once = column_probabilities(q, k, 2, range(7), 7)
    thrice = column_probabilities(q, k.repeat(1, 3, 1), 2, range(7), 7)
    assert torch.allclose(once, thrice, atol=1e-6)


def test_all_columns_add_up_to_one():
    total = column_probabilities(random(2, 30, 32), random(2, 77, 32, seed=1), 4, range(77), 77).sum(2)
    assert torch.allclose(total, torch.ones_like(total), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    """Logits beyond float16's range: no overflow, no rounding beyond that of q and k."""
    q, k = 300 * random(1, 5, 16, dtype=dtype), 300 * random(1, 9, 16, seed=1, dtype=dtype)
    found = column_probabilities(q, k, 2, range(9), 9)
    assert found.isfinite().all()
    assert torch.allclose(found.double(), plain(q, k, 2).transpose(-1, -2), atol=1e-5)


@pytest.mark.parametrize("bound", [1, 2000, 2**26])
def test_chunks_of_pixels_change_nothing(monkeypatch, bound):
    monkeypatch.setattr(attention, "CACHE_BYTES", bound)
    q, k = random(2, 10, 56), random(2, 12, 56, seed=1)
    found = column_probabilities(q, k, 7, [0, 3, 11], 12)
    assert torch.allclose(found.double(), plain(q, k, 7)[..., [0, 3, 11]].transpose(-1, -2), atol=1e-5)


def test_it_is_added_to_what_is_there():
    q, k = random(2, 10, 8), random(2, 12, 8, seed=1)
    for columns in ([0, 1, 2], [1, 5, 11]):
        for sums in (random(2, 2, 3, 10, seed=2), random(2, 2, 10, 3, seed=2).transpose(-1, -2)):
            before = sums.clone()
            assert column_probabilities(q, k, 2, columns, 12, into=sums) is sums
            assert torch.allclose(sums - before, column_probabilities(q, k, 2, columns, 12), atol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 40.0, -40.0, 400.0, -400.0])
@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
def test_logits_of_any_size(scale, offset):
    """Beyond what exp can take: relative 1e-3 wherever P is at least 1e-5, in every way of computing it."""
    d, tokens = 16, 30
    q, k = random(1, 50, 2 * d), random(1, tokens, 2 * d, seed=1) * scale
    q[..., ::d] = 1.0
    k[0, 0, ::d] += offset * d**0.5  # the first token's logits, above or below all others
    exact = plain(q, k, 2).transpose(-1, -2)
    found = column_probabilities(q, k, 2, range(tokens), tokens).double()
    near = torch.isclose(found, exact, rtol=1e-3, atol=1e-5)
    assert near.all(), f"{(found - exact).abs().max():.2e}"


@pytest.mark.parametrize("scale", [1.0, 1000.0])
@pytest.mark.parametrize("way", ["may_look", "sum_is_finite"])
def test_the_stable_ways_are_the_same(monkeypatch, way, scale):
    """That of other devices, which would have to wait for a look at values, and that of the CPU after a sum overflowed."""
    q, k = random(2, 20, 32), random(2, 24, 32, seed=1) * scale
    monkeypatch.setattr(attention, way, lambda seen: False)
    p = plain(q, k, 4)
    exact = (p[..., :12] + p[..., 12:])[..., [0, 1, 7]].transpose(-1, -2)
    found = column_probabilities(q, k, 4, [0, 1, 7], 12).double()
    assert torch.allclose(found, exact, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("columns", [range(3), [0, 5, 11]])
def test_other_devices_are_never_waited_for(columns):
    """Tensors without values: whatever asks for one raises."""
    q, k = (torch.empty(2, tokens, 32, device="meta", dtype=torch.float16) for tokens in (64, 24))
    found = column_probabilities(q, k, 4, columns, 12)
    assert found.shape == (2, 4, 3, 64) and found.dtype == torch.float32


def test_q_and_k_are_left_alone():
    q, k = random(1, 4, 8), random(1, 5, 8, seed=1)
    before = q.clone(), k.clone()
    column_probabilities(q, k, 2, [1], 5)
    assert torch.equal(q, before[0]) and torch.equal(k, before[1])


@pytest.mark.parametrize("columns", [(0, 77), (-1, 0)])
def test_columns_that_are_not_there_are_an_error_on_every_device(columns):
    with pytest.raises(ValueError, match="of a conditioning that has 77"):
        column_probabilities(torch.zeros(1, 4, 8), torch.zeros(1, 77, 8), 2, columns, 77)


@pytest.mark.parametrize(
    ("q", "k", "heads", "length"),
    [
        ((2, 4, 8), (2, 78, 8), 2, 77),  # tokens are no multiple of the prompt's
        ((2, 4, 8), (1, 77, 8), 2, 77),  # rows differ
        ((2, 4, 8), (2, 77, 16), 2, 77),  # widths differ
        ((2, 4, 9), (2, 77, 9), 2, 77),  # width is no multiple of the heads
    ],
)
def test_what_does_not_fit_is_an_error_with_the_shapes(q, k, heads, length):
    with pytest.raises(ValueError) as error:
        column_probabilities(torch.zeros(q), torch.zeros(k), heads, [0], length)
    assert str(q) in str(error.value) and str(k) in str(error.value)
