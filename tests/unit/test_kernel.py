"""The kernel for graphics cards, run by Triton's interpreter on the CPU, against softmax in float64. tools/gpu_check.py runs the compiled one."""

import contextlib
import inspect
import json
import os
import shutil
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


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
@pytest.mark.skipif(shutil.which("gcc") is None, reason="wants a C compiler")
def test_it_compiles_for_a_card_and_is_launched_again_with_the_same(tmp_path):
    """In a process of its own, with a stand-in for the card's driver."""
    pytest.importorskip("triton", minversion="3.3")
    pytest.importorskip("triton.backends.nvidia")
    script = Path(__file__).with_name("compiled_kernel.py")
    folders = {"TRITON_LIBCUDA_PATH": str(tmp_path), "TRITON_CACHE_DIR": str(tmp_path / "cache")}
    ran = subprocess.run(
        [sys.executable, script], env={**os.environ, **folders}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {"one layer": True, "ten layers": True, "joint": True}


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


class Compiled:
    """Stands in for what Triton makes of the kernel: tells what it was launched with, or takes only so many arguments."""

    def __init__(self, most: int = 99):
        self.launches = []
        self._most = most

    def __getitem__(self, grid):
        def launch(*arguments, **by_name):
            if len(arguments) > self._most:
                raise TypeError(f"takes {self._most} arguments, {len(arguments)} given")
            self.launches.append((grid, arguments, by_name))
            return self

        return launch


def test_the_compiled_kernel_is_launched_itself_with_the_same_arguments_in_order(monkeypatch):
    source, compiled = kernel.kernel_source, Compiled()
    monkeypatch.setattr(source, "_compiled", lambda: compiled)
    form = FORM._replace(
        q_strides=(2, 3, 4, 5), k_strides=(6, 7, 8, 9), sums_strides=(10, 11, 12, 13), scale=0.25
    )
    pieces = [Piece(16 * number, 32 * number, 64 * number, (), pytest.fail) for number in (1, 2, 3)]
    source.launch(form, pieces)
    source.launch(form, pieces)
    (grid, none, by_name), (again, in_order, rest) = compiled.launches
    assert grid == again == (1, 1, 3) and not none and not rest
    named = list(inspect.signature(source._probabilities).parameters)
    first, second = by_name, dict(zip(named, in_order, strict=True))
    for arguments in (first, second):
        assert arguments.pop("table").tolist() == [16, 32, 48, 32, 64, 96, 64, 128, 192]
    assert first.pop("num_warps") == source.WARPS and first == second


def test_where_the_compiled_kernel_takes_other_arguments_it_is_found_by_them(monkeypatch):
    source, compiled = kernel.kernel_source, Compiled(most=20)
    monkeypatch.setattr(source, "_compiled", lambda: compiled)
    monkeypatch.setattr(source, "_takes_all_arguments", True)
    form = FORM._replace(scale=0.75)
    for _ in range(3):
        source.launch(form, [Piece(16, 32, 64, (), pytest.fail)])
    assert [bool(by_name) for _, _, by_name in compiled.launches] == [True] * 3
    assert not source._takes_all_arguments
