"""Run by test_kernel.py: compiles the kernel for a card, with a driver that only notes what it is given. Prints for each case, as JSON, whether a
layer that is launched again is launched with the same as one that Triton finds the kernel for."""

import contextlib
import ctypes
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia import driver as nvidia
from triton.runtime import driver

HERE = Path(__file__).resolve().parent
FOLDER = Path(os.environ["TRITON_LIBCUDA_PATH"])
MOST = 64
BYTES = {"i32": 4, "i64": 8, "fp32": 4}


class NotingDriver(nvidia.CudaDriver):
    """For a card of one kind (Hopper) that is not there."""

    def __init__(self):
        self.utils, self.launcher_cls = nvidia.CudaUtils(), nvidia.CudaLauncher

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0

    def get_current_target(self):
        return GPUTarget("cuda", 90, 32)


def main() -> None:
    spec = importlib.util.spec_from_file_location("tests_conftest", HERE.parent / "conftest.py")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    torch.cuda.device = lambda device: contextlib.nullcontext()
    file = FOLDER / "libcuda.so.1"
    headers = Path(nvidia.__file__).parent / "include"
    flags = ("-shared", "-fPIC", "-w", f"-I{headers}", f"-Wl,-soname,{file.name}")
    subprocess.run(["gcc", *flags, HERE / "noting_driver.c", "-o", file], check=True)
    (FOLDER / "libcuda.so").symlink_to(file.name)
    noting = ctypes.CDLL(str(file), mode=ctypes.RTLD_GLOBAL)
    driver.set_active(NotingDriver())
    json.dump({name: is_same(noting, *case) for name, case in cases().items()}, sys.stdout)


def cases() -> dict:
    """By name, (form, number of layers)."""
    from hrv_pack.hrv.recording.kernel import Form

    form = Form(
        device=torch.device("cpu"), dtype=torch.float16, rows=1, heads=20, key_heads=20, queries=1024, keys=77, width=64,
        q_strides=(1024 * 1280, 64, 1280, 1), k_strides=(77 * 1280, 64, 1280, 1), sums_strides=(20 * 3 * 1024, 3 * 1024, 3, 1), scale=0.125,
        columns=(1, 2, 5), length=77,
    )  # fmt: skip
    joint = form._replace(dtype=torch.bfloat16, rows=2, key_heads=10, keys=1101, start=5, mass=True)
    return {"one layer": (form, 1), "ten layers": (form, 10), "joint": (joint, 3)}


def is_same(noting, form, number: int) -> bool:
    from hrv_pack.hrv.recording import kernel_source
    from hrv_pack.hrv.recording.kernel import Piece

    pieces = [Piece(512 * n, 1024 * n, 4096 * n, (), sys.exit) for n in range(1, number + 1)]
    kernel_source.launch(form, pieces)
    types = [ty for ty in kernel_source._known(form).kernel.src.signature.values() if ty != "constexpr"]
    sizes = [8 if ty.startswith("*") else BYTES[ty] for ty in types]
    noting.set_sizes(len(sizes), (ctypes.c_int * len(sizes))(*sizes))
    kernel_source._takes_all_arguments = False
    kernel_source.launch(form, pieces)
    found = last_launch(noting)
    kernel_source._takes_all_arguments = True
    kernel_source.launch(form, pieces)
    again = last_launch(noting)
    return kernel_source._takes_all_arguments and again[0] == found[0] + 1 and again[1:] == found[1:]


def last_launch(noting) -> tuple:
    """(how many there were, grid, function, parameters but for the table's address, which is a new one)."""
    parameters = (ctypes.c_ubyte * (8 * MOST))()
    grid, function = (ctypes.c_uint * 3)(), ctypes.c_ulonglong()
    number = noting.last_launch(parameters, grid, ctypes.byref(function))
    return number, tuple(grid), function.value, bytes(parameters)[8:]


main()
