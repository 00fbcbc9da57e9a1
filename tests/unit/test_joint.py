"""Joint attention: P and the text mass are what the plainest computation in float64 gives."""

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from hrv_pack.hrv.recording import joint
from hrv_pack.hrv.recording.joint import JointAttention
from hrv_pack.hrv.recording.log_sums import LogSums


def plain(q, k, image, text, length, columns, mask=None, scale=None):
    """(row, head, column + 1, pixel) in float64."""
    q, k = q.double()[:, :, image], k.double().repeat_interleave(q.shape[1] // k.shape[1], 1)
    logits = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        mask = mask[None] if mask.ndim == 2 else mask
        mask = mask[:, None] if mask.ndim == 3 else mask
        mask = mask[..., image, :] if mask.shape[-2] > 1 else mask
        logits = logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask.double()
    p = logits.softmax(-1)[..., text]
    mass = p.sum(-1, keepdim=True)
    folded = p.unflatten(-1, (-1, length)).sum(-2)[..., list(columns)]
    return torch.cat([folded, mass], -1).transpose(-1, -2)


def drawn(*shape, seed=0, size=1.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * size


@pytest.mark.parametrize("size", [1.0, 12.0, 60.0])
@pytest.mark.parametrize("groups", [6, 2, 1])
def test_probabilities(groups, size):
    """size: of the numbers; with the largest, sums of exponentials overflow."""
    q, k = drawn(2, 6, 40, 8, size=size), drawn(2, groups, 40, 8, seed=1)
    image, text, columns = slice(13, 37), slice(3, 13), [1, 4]
    found = JointAttention(q, k, image, text).probabilities(slice(0, 2), columns, 5)
    assert torch.allclose(found.double(), plain(q, k, image, text, 5, columns), atol=1e-5)
    half = JointAttention(q, k, image, text).probabilities(slice(1, 2), columns, 5, into=found[1:].clone())
    assert torch.allclose(half, 2 * found[1:], atol=1e-5)


@pytest.mark.parametrize(
    "mask",
    [
        drawn(40, 40, seed=2), drawn(2, 1, 40, seed=2), drawn(2, 40, 40, seed=2), drawn(1, 6, 1, 40, seed=2),
        drawn(2, 1, 40, seed=2) > -1.5, torch.cat([torch.full((2, 1, 5), torch.finfo(torch.float32).min), torch.zeros(2, 1, 35)], -1),
    ],
)  # fmt: skip
def test_masks(mask):
    q, k = drawn(2, 6, 40, 8), drawn(2, 6, 40, 8, seed=1)
    image, text = slice(10, 40), slice(0, 10)
    found = JointAttention(q, k, image, text, mask, 0.7).probabilities(slice(0, 2), range(10), 10)
    expected = plain(q, k, image, text, 10, range(10), mask, 0.7)
    assert torch.allclose(found.double(), expected, atol=1e-5)


def test_the_way_of_other_devices_is_the_same(monkeypatch):
    q, k = drawn(1, 2, 60, 8, size=9.0), drawn(1, 2, 60, 8, seed=1)
    attention = JointAttention(q, k, slice(10, 60), slice(0, 10))
    here = attention.probabilities(slice(0, 1), range(10), 10)
    monkeypatch.setattr(joint, "may_look", lambda device: False)
    assert torch.allclose(attention.probabilities(slice(0, 1), range(10), 10), here, atol=1e-6)


@pytest.mark.parametrize("size", [1.0, 12.0, 60.0])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mask", [None, drawn(2, 40, 40, seed=2), drawn(2, 1, 1, 40, seed=2) > -1.5])
def test_sums_that_the_kernel_tells(mask, kind, size):
    """size: of the numbers. In half precision its sums are only as good as that."""
    q, k = drawn(2, 6, 40, 8, size=size).to(kind), drawn(2, 6, 40, 8, seed=1).to(kind)
    image, text, rows = slice(13, 37), slice(3, 13), slice(0, 2)
    given = mask if mask is None or mask.ndim == 4 else mask[:, None]
    given = given if given is None or given.dtype == torch.bool else given.to(kind)
    told = LogSums()
    with torch.inference_mode():
        expected = F.scaled_dot_product_attention(q, k, k, attn_mask=given)
        with told:
            assert torch.equal(F.scaled_dot_product_attention(q, k, k, attn_mask=given), expected)
        found = JointAttention(q, k, image, text, given, log_sums=told.found).probabilities(rows, [1, 4], 5)
    tolerance = {torch.float32: 1e-5 * size**0.5, torch.bfloat16: 5e-3}[kind]
    assert torch.allclose(found.double(), plain(q, k, image, text, 5, [1, 4], given), atol=tolerance)


def test_sums_are_not_told():
    """By the way without a kernel of its own, nor of two attentions."""
    q, told = drawn(1, 2, 6, 8), LogSums()
    with told, sdpa_kernel(SDPBackend.MATH):
        F.scaled_dot_product_attention(q, q, q)
    assert told.found is None
    with told:
        F.scaled_dot_product_attention(q, q, q)
        assert told.found is not None
        F.scaled_dot_product_attention(q, q, q)
    assert told.found is None


def test_flux_at_1024():
    """4096 image tokens and 512 of the text, heads of 128: as large as they come, in chunks."""
    q, k = drawn(1, 1, 4608, 128), drawn(1, 1, 4608, 128, seed=1)
    image, text = slice(512, 4608), slice(0, 512)
    found = JointAttention(q, k, image, text).probabilities(slice(0, 1), range(20), 512)
    assert torch.allclose(found.double(), plain(q, k, image, text, 512, range(20)), rtol=1e-5, atol=1e-9)


def test_what_does_not_fit_says_so():
    attention = JointAttention(drawn(1, 2, 20, 4), drawn(1, 2, 20, 4), slice(10, 20), slice(0, 10))
    with pytest.raises(ValueError, match="10 text tokens do not fit 4 columns"):
        attention.probabilities(slice(0, 1), [0], 4)
    with pytest.raises(ValueError, match="columns 5 to 5 of a conditioning that has 5"):
        attention.probabilities(slice(0, 1), [5], 5)
