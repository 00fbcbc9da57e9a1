"""A real ComfyUI server with this pack in it, as a context manager with a client.

    with ComfyServer(comfyui_folder) as server:
        result = server.run(prompt)             # prompt: {node id: {"class_type": …, "inputs": …}}
        result.images["9"][0].data              # bytes of a PNG
        result.ran, result.cached               # ids of the nodes that ran, and of those that did not need to

Needs aiohttp, which every ComfyUI has.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path

from .events import EventStream, Image, Result, collect

ROOT = Path(__file__).resolve().parent.parent
NOT_THE_PACK = shutil.ignore_patterns(".host", ".git", "demo_out", "__pycache__", ".pytest_cache")


class ComfyError(RuntimeError):
    """The server refused a prompt, or a prompt failed. `details` is what the server said (a dict)."""

    def __init__(self, message: str, details: dict):
        super().__init__(message)
        self.details = details


class ComfyServer:
    """Starts `main.py` in a folder of its own: models, input, output and the database are never the user's.

    comfyui: folder with main.py.
    folder_name: what the pack's folder is called inside custom_nodes.
    base: the server's folder; None makes a temporary one and removes it in the end.
    cpu: run on the CPU even where there is a GPU.
    options: further options for main.py.
    pack: the folder to load as the custom node.
    """

    def __init__(
        self,
        comfyui: Path,
        *,
        folder_name: str = "ComfyUI-HRV",
        base: Path | None = None,
        port: int | None = None,
        cpu: bool = True,
        options: tuple[str, ...] = (),
        pack: Path = ROOT,
    ):
        self.comfyui = Path(comfyui)
        self.folder_name = folder_name
        self.port = port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._given_base, self._cpu, self._options, self._pack = base, cpu, options, pack
        self._cleanup = contextlib.ExitStack()
        self._client_id = uuid.uuid4().hex

    # Life

    def __enter__(self) -> "ComfyServer":
        try:
            self.start()
            self.wait_until_ready()
            self.events = self._cleanup.enter_context(
                EventStream(f"ws://{self.address}/ws?clientId={self._client_id}")
            )
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        if self._given_base:
            self.base = Path(self._given_base)
        else:
            self.base = Path(tempfile.mkdtemp(prefix="comfyui-"))
            self._cleanup.callback(shutil.rmtree, self.base, ignore_errors=True)
        for name in ("custom_nodes", "models", "input", "output", "temp", "user"):
            (self.base / name).mkdir(parents=True, exist_ok=True)
        link_pack(self._pack, self.base / "custom_nodes" / self.folder_name)
        command = [
            sys.executable,
            self.comfyui / "main.py",
            "--base-directory",
            self.base,
            "--port",
            self.port,
        ]
        command += ["--database-url", f"sqlite:///{self.base / 'user' / 'comfyui.db'}"]
        command += [
            "--disable-auto-launch",
            "--disable-api-nodes",
            *(["--cpu"] if self._cpu else []),
            *self._options,
        ]
        self.log_path = self.base / "server.log"
        log = self._cleanup.enter_context(open(self.log_path, "wb"))
        self.process = subprocess.Popen(
            [str(part) for part in command],
            cwd=self.comfyui,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", "HF_HUB_OFFLINE": "1"},
        )
        self._cleanup.callback(end, self.process)

    def wait_until_ready(self, timeout: float = 600) -> None:
        """Return when the server answers; raise `ComfyError` with the end of its log when it does not."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.get("/system_stats", timeout=5)
                return
            time.sleep(0.2)
        code = self.process.poll()
        state = "did not answer in time" if code is None else f"ended with code {code}"
        raise ComfyError(f"ComfyUI {state}. The end of its log:\n{self.log_tail()}", {})

    def stop(self) -> None:
        """End the server and remove its temporary folder; harmless if it was never started."""
        self._cleanup.close()

    @property
    def log(self) -> str:
        """What the server has printed so far."""
        return self.log_path.read_text("utf-8", errors="replace")

    def log_tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.splitlines()[-lines:])

    # Requests

    def get(self, path: str, timeout: float = 60) -> dict:
        return json.loads(self.get_bytes(path, timeout))

    def get_bytes(self, path: str, timeout: float = 60) -> bytes:
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=timeout) as answer:
            return answer.read()

    def post(self, path: str, body: dict) -> dict:
        """POST JSON; an answer that is not JSON gives {}. Raises `ComfyError` when the server refuses."""
        request = urllib.request.Request(
            f"http://{self.address}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as refusal:
            text = refusal.read().decode(errors="replace")
            raise ComfyError(
                f"ComfyUI refused {path}: {text}", json.loads(text) if text[:1] == "{" else {}
            ) from None
        return json.loads(text) if text[:1] in (b"{", b"[") else {}

    def object_info(self) -> dict:
        """Every node's inputs and outputs, by node id."""
        return self.get("/object_info")

    def submit(self, prompt: dict) -> str:
        """Queue a prompt and return its id; `wait` for it afterwards."""
        return self.post("/prompt", {"prompt": prompt, "client_id": self._client_id})["prompt_id"]

    def wait(
        self, prompt_id: str, timeout: float = 300, check: bool = True, on_event: Callable | None = None
    ) -> Result:
        """Wait for a queued prompt; with `check`, an error or a cancelled run raises `ComfyError`."""
        result = collect(self.events, prompt_id, timeout, on_event, self._still_there)
        result.outputs = self.get(f"/history/{prompt_id}").get(prompt_id, {}).get("outputs", {})
        for node, output in result.outputs.items():
            for reference in output.get("images", []):
                place = {key: reference[key] for key in ("filename", "subfolder", "type")}
                result.images.setdefault(node, []).append(Image(**place, data=self.view(place)))
        if check and result.status != "success":
            raise ComfyError(f"The prompt ended as '{result.status}': {result.message}", result.error)
        return result

    def run(
        self, prompt: dict, timeout: float = 300, check: bool = True, on_event: Callable | None = None
    ) -> Result:
        """Run a prompt to its end. `on_event(kind, data)` sees each message as it comes."""
        return self.wait(self.submit(prompt), timeout, check, on_event)

    def interrupt(self) -> None:
        """Cancel the prompt that is running."""
        self.post("/interrupt", {})

    def view(self, reference: dict) -> bytes:
        """The file behind {"filename", "subfolder", "type"}, as in a node's output."""
        return self.get_bytes("/view?" + urllib.parse.urlencode(reference))

    def _still_there(self) -> None:
        if self.process.poll() is not None:
            raise ComfyError(f"ComfyUI ended while it worked. The end of its log:\n{self.log_tail()}", {})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def link_pack(pack: Path, place: Path) -> None:
    """Make the pack visible at `place`: a link, or a copy where links are not allowed (Windows)."""
    if place.is_symlink():
        place.unlink()
    elif place.exists():
        shutil.rmtree(place)
    try:
        place.symlink_to(pack, target_is_directory=True)
    except OSError:
        shutil.copytree(pack, place, ignore=NOT_THE_PACK)


def end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
