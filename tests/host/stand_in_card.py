"""What recording does on a graphics card, done on the CPU: layers are held, launched together, and launched again as they were; the launch itself
is the plainest computation, at the addresses that the kernel would be given.

    launches = stand_in_card.put_in(monkeypatch)      → [(form, number of layers), …], grows
"""

from __future__ import annotations

import ctypes
import math

import torch

from hrv_pack.hrv.recording import kernel, sums
from hrv_pack.hrv.recording.kernel import Form, Launches, Piece


def put_in(monkeypatch) -> list[tuple[Form, int]]:
    launched: list[tuple[Form, int]] = []

    def flush(self: Launches) -> None:
        waiting = self._waiting
        self.clear()
        for form, pieces in waiting.items():
            launched.append((form, len(pieces)))
            for piece in pieces:
                add(form, piece)

    monkeypatch.setattr(kernel, "is_usable", lambda q: True)
    monkeypatch.setattr(sums._Layer, "is_on_a_card", True)
    monkeypatch.setattr(Launches, "flush", flush)
    return launched


def add(form: Form, piece: Piece) -> None:
    """Adds P to the sums, by float64."""
    q = at(piece.q, form.dtype, (form.rows, form.heads, form.queries, form.width), form.q_strides)
    k = at(piece.k, form.dtype, (form.rows, form.key_heads, form.keys, form.width), form.k_strides)
    shape = (form.rows, form.heads, form.queries, len(form.columns) + form.mass)
    added_to = at(piece.sums, torch.float32, shape, form.sums_strides)
    k = k.double().repeat_interleave(form.heads // form.key_heads, 1)
    p = (q.double() @ k.mT * form.scale).softmax(-1)
    text = p[..., form.start : form.start + form.length * form.repeats]
    text = text.unflatten(-1, (form.repeats, form.length)).sum(-2)
    kept = text[..., list(form.columns)]
    added_to += torch.cat([kept, text.sum(-1, keepdim=True)], -1) if form.mass else kept


def at(address: int, dtype: torch.dtype, shape: tuple[int, ...], strides: tuple[int, ...]) -> torch.Tensor:
    """The tensor that lies there."""
    values = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    memory = (ctypes.c_char * (values * dtype.itemsize)).from_address(address)
    return torch.frombuffer(memory, dtype=dtype, count=values).as_strided(shape, strides)


def is_close(found: dict[int, torch.Tensor], expected: dict[int, torch.Tensor]) -> bool:
    """Whether maps at rest, by layer, are the same but for rounding to half precision."""
    assert found.keys() == expected.keys()
    return all(
        torch.allclose(found[number].float(), maps.float(), rtol=2e-3, atol=1e-6) and math.prod(maps.shape)
        for number, maps in expected.items()
    )
