"""The kernel for graphics cards, run by Triton's interpreter on the CPU, against softmax in float64. tools/gpu_check.py runs the compiled one."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hrv_pack.hrv.recording import kernel
from hrv_pack.hrv.recording.kernel import Form, Launches, Piece

pytest.importorskip("triton", reason="Triton comes with PyTorch on Linux only")


FORM = Form(
    device=torch.device("cpu"), dtype=torch.float32, rows=1, heads=1, key_heads=1, queries=1, keys=7, width=8, q_strides=(1,) * 4,
    k_strides=(1,) * 4, sums_strides=(1,) * 4, scale=1.0, columns=(0,), length=7,
)  # fmt: skip


def test_several_layers_at_once():
    """In a process of its own: Triton reads the variable when it is imported."""
    script = Path(__file__).with_name("interpreted_kernel.py")
    ran = subprocess.run(
        [sys.executable, script], env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    errors = json.loads(ran.stdout)
    assert len(errors) == 6 and max(errors.values()) < 1e-5, errors


def test_layers_of_several_forms_wait_side_by_side(monkeypatch):
    launched = []
    monkeypatch.setattr(
        kernel.kernel_source, "launch", lambda form, pieces: launched.append((form.queries, len(pieces)))
    )
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    small = torch.zeros(1)
    launches = Launches()
    for queries in (64, 64, 16, 64):
        form = Form(
            small.device, small.dtype, 1, 1, 1, queries, 7, 8, (1,) * 4, (1,) * 4, (1,) * 4, 1.0, (0,), 7
        )
        launches.add(form, Piece(0, 0, 0, (small,), plain=pytest.fail))
    launches.flush()
    assert launched == [(64, 3), (16, 1)]
    launches.flush()
    assert len(launched) == 2


def test_without_a_compiler_the_plain_way_is_taken_from_then_on(monkeypatch):
    def broken(form, pieces):
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(kernel.kernel_source, "launch", broken)
    monkeypatch.setattr(kernel, "_works", True)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    done = []
    launches = Launches()
    launches.add(FORM, Piece(0, 0, 0, ("plain",), plain=done.append))
    launches.flush()
    assert done == ["plain"] and not kernel._works
