"""Words that are not in the prompt: their share beside the prompt's columns, against a plain softmax over both."""

import pytest
import torch

from hrv_pack.hrv.recording.asked import asked_probabilities

HEADS, D, TOKENS, PIXELS = 3, 8, 7, 50
LENGTHS = (1, 3, 2)


def made(scale=1.0, rows=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    shapes = ((rows, PIXELS, HEADS * D), (rows, TOKENS, HEADS * D), (sum(LENGTHS), HEADS * D))
    return [(scale * torch.randn(shape, generator=generator)).to(dtype) for shape in shapes]


def plain(q, k, asked):
    """One row, head and word at a time: a softmax over the prompt's columns and the word's, of which the word's are kept."""
    out = torch.zeros(len(q), HEADS, sum(LENGTHS), PIXELS, dtype=torch.float64)
    for row in range(len(q)):
        for head in range(HEADS):
            part, first = slice(head * D, (head + 1) * D), 0
            for length in LENGTHS:
                own = asked[first : first + length, part]
                keys = torch.cat([k[row, :, part], own]).double()
                p = torch.softmax(q[row, :, part].double() @ keys.T / D**0.5, -1)
                out[row, head, first : first + length] = p[:, TOKENS:].T
                first += length
    return out


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_it_is_a_softmax_over_the_prompt_and_the_word(scale):
    q, k, asked = made(scale)
    found = asked_probabilities(q, k, HEADS, asked, LENGTHS)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), plain(q, k, asked), atol=1e-6)


def test_it_is_added_to_what_is_there():
    q, k, asked = made()
    room = torch.full((2, HEADS, PIXELS, sum(LENGTHS)), 0.5).transpose(-1, -2)
    found = asked_probabilities(q, k, HEADS, asked, LENGTHS, into=room)
    assert found is room
    assert torch.allclose(room, 0.5 + asked_probabilities(q, k, HEADS, asked, LENGTHS))


def test_words_of_any_strength_stay_finite():
    q, k, asked = made(60.0)
    found = asked_probabilities(q, k, HEADS, asked, LENGTHS)
    assert found.isfinite().all() and (found >= 0).all() and (found <= 1 + 1e-6).all()
    assert torch.allclose(found.double(), plain(q, k, asked), atol=1e-4)


def test_what_does_not_fit_is_refused():
    q, k, asked = made()
    with pytest.raises(ValueError, match="do not fit 3 heads and 5 tokens"):
        asked_probabilities(q, k, HEADS, asked, (1, 4))
