"""Run by test_kernel.py under Triton's interpreter: the largest error of each case against softmax in float64, as JSON."""

import contextlib
import importlib.util
import json
import sys
from pathlib import Path

import torch
from triton.runtime import interpreter

TESTS = Path(__file__).resolve().parents[1]
CASES = {
    "a width that is no power of two": (2, 2, 70, 77, 40, {"columns": (0, 1, 5, 9), "length": 77}),
    "repeats": (1, 1, 10, 154, 160, {"columns": (3,), "length": 77, "repeats": 2}),
    "joint, grouped keys": (4, 2, 33, 300, 16, {"columns": tuple(range(40)), "length": 50, "start": 7, "repeats": 2, "mass": True}),
}  # fmt: skip


def main() -> None:
    spec = importlib.util.spec_from_file_location("tests_conftest", TESTS / "conftest.py")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    torch.cuda.device = lambda device: contextlib.nullcontext()
    patch = interpreter._LangPatchScope.set_attr

    def as_number(scope, owner, name, value):
        """NumPy 2.4 no longer takes an array of one number for a number, as Triton 3.6 does."""
        patch(
            scope, owner, name, (lambda self: int(self.handle.data.item())) if name == "__index__" else value
        )

    interpreter._LangPatchScope.set_attr = as_number
    errors = {
        f"{case}, {dtype}": error(case, dtype) for case in CASES for dtype in (torch.float32, torch.float16)
    }
    json.dump(errors, sys.stdout)


def error(case: str, dtype: torch.dtype) -> float:
    from hrv_pack.hrv.recording.kernel import Form, Launches, Piece

    heads, key_heads, pixels, keys, width, more = CASES[case]
    generator, launches, layers = torch.Generator().manual_seed(0), Launches(), []
    for number in range(3):
        q = 2 * torch.randn(2, heads, pixels, width, generator=generator).to(dtype)
        k = 2 * torch.randn(2, key_heads, keys, width, generator=generator).to(dtype)
        sums = torch.full((2, heads, pixels, len(more["columns"]) + more.get("mass", False)), float(number))
        form = Form(
            device=q.device, dtype=dtype, rows=2, heads=heads, key_heads=key_heads, queries=pixels, keys=keys, width=width,
            q_strides=q.stride(), k_strides=k.stride(), sums_strides=sums.stride(), scale=width**-0.5, **more,
        )  # fmt: skip
        piece = Piece(q.data_ptr(), k.data_ptr(), sums.data_ptr(), (q, k, sums), plain=sys.exit)
        launches.add(form, piece)
        layers.append((number, sums, expected(q, k, form)))
    assert all(bool((sums == number).all()) for number, sums, _ in layers), (
        "they wait until all can be launched"
    )
    launches.flush()
    return max((sums.double() - number - wanted).abs().max().item() for number, sums, wanted in layers)


def expected(q, k, form) -> torch.Tensor:
    """(row, head, query, column), the plainest way."""
    k = k.repeat_interleave(form.heads // form.key_heads, 1)
    p = (q.double() @ k.double().mT * form.scale).softmax(-1)
    text = p[..., form.start : form.start + form.length * form.repeats]
    text = text.unflatten(-1, (form.repeats, form.length)).sum(-2)
    kept = text[..., list(form.columns)]
    return torch.cat([kept, text.sum(-1, keepdim=True)], -1) if form.mass else kept


main()
