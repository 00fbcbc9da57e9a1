"""The part of `dev.py demo` and `dev.py serve` that runs in the host's Python."""

import json
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import torch

from .server import ROOT, ComfyError, ComfyServer, free_port
from .steps import say, stop_on_terminate
from .workflow import WorkflowError, workflow_to_prompt

EXAMPLE = ROOT / "example_workflows" / "02_which_word_drew_what.json"


def main(command: str, argument: str) -> int:
    signal.signal(signal.SIGTERM, stop_on_terminate)
    comfyui = Path(os.environ["HRV_COMFYUI"])
    try:
        return demo(comfyui, Path(argument)) if command == "demo" else serve(comfyui, int(argument))
    except (ComfyError, WorkflowError, TimeoutError) as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def demo(comfyui: Path, out: Path) -> int:
    """Run the example workflow on a server of its own and write its images into `out`."""
    if not EXAMPLE.exists():
        raise WorkflowError(f"The example workflow is missing: {EXAMPLE}")
    workflow = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    say("Starting ComfyUI …")
    with ComfyServer(comfyui, cpu=not torch.cuda.is_available()) as server:
        prompt = workflow_to_prompt(workflow, server.object_info())
        say(f"Running {EXAMPLE.name} …")
        started = time.monotonic()
        result = server.run(prompt, timeout=1800, on_event=Reporter(prompt))
        say(f"Done in {time.monotonic() - started:.0f} s.")
    out.mkdir(parents=True, exist_ok=True)
    say(f"\nImages in {out}:")
    for name, data in named_pictures(prompt, result.images):
        (out / name).write_bytes(data)
        say(f"  {name}")
    return 0


def serve(comfyui: Path, port: int) -> int:
    """ComfyUI with the pack until Ctrl-C. Its folder, .host/serve, is kept: settings and pictures stay."""
    base = ROOT / ".host" / "serve"
    base.mkdir(parents=True, exist_ok=True)
    models = base / "own_models.yaml"
    models.write_text(json.dumps(own_models(comfyui)), encoding="utf-8")
    if port_taken(port):
        port = free_port()
        say("That port is taken; using another.")
    say("Starting ComfyUI …")
    options = ("--extra-model-paths-config", str(models))
    cpu = not torch.cuda.is_available()
    with ComfyServer(comfyui, base=base, port=port, cpu=cpu, options=options) as server:
        say(f"ComfyUI is at http://{server.address}  (Ctrl-C ends it)")
        say(f"Models, input and output are in {base}")
        server.process.wait()
        raise ComfyError(f"ComfyUI ended. The end of its log:\n{server.log_tail()}", {})


def own_models(comfyui: Path) -> dict:
    """ComfyUI's setting for further model folders: those of a ComfyUI of your own (its YAML takes JSON)."""
    kinds = [folder.name for folder in (comfyui / "models").iterdir() if folder.is_dir()]
    return {"comfyui": {"base_path": str(comfyui), **{kind: f"models/{kind}" for kind in kinds}}}


class Reporter:
    """Prints what a prompt is doing, one line per node and one per quarter of a long one."""

    def __init__(self, prompt: dict):
        self._titles = {node: entry["_meta"]["title"] for node, entry in prompt.items()}
        self._quarter = 0

    def __call__(self, kind: str, data: dict) -> None:
        if kind == "executing" and data.get("node"):
            say(f"  {self._titles.get(data['node'], data['node'])}")
            self._quarter = 0
        elif kind == "progress" and data["max"] > 1 and int(4 * data["value"] / data["max"]) > self._quarter:
            self._quarter = int(4 * data["value"] / data["max"])
            say(f"    {data['value']:.0f} of {data['max']:.0f}")


def named_pictures(prompt: dict, images: dict) -> list[tuple[str, bytes]]:
    """(file name, bytes) for every picture, named after the node that showed it; several are numbered."""
    pictures = []
    for node, found in images.items():
        title = re.sub(r"[^a-z0-9]+", "_", prompt[node]["_meta"]["title"].lower()).strip("_")
        for number, image in enumerate(found, start=1):
            suffix = f"_{number}" if len(found) > 1 else ""
            pictures.append((f"{title}_{node}{suffix}{Path(image.filename).suffix}", image.data))
    return pictures


def port_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
