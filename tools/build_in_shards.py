"""Builds head relevance vectors on several ComfyUI servers at once, and merges what they counted.

    python3 tools/build_in_shards.py --servers 127.0.0.1:8188 192.168.0.7:8188 --checkpoint sd_xl_base_1.0.safetensors \\
        --width 1024 --height 1024 --steps 20

Each server runs Build Head Relevance on its share of the prompts (`--split prompts`, the default), or on all prompts with
a seed of its own (`--split seeds`), through ComfyUI's own API. The first server then merges the files, if it finds all of
them in its models/hrv: servers of one computer, or with a shared models folder, do. Otherwise copy the files that are
named there, and merge with `--merge NAME NAME …`.

Needs Python 3.10 and its standard library; docs/building_vectors.md says more.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROMPTS = Path(__file__).resolve().parent.parent / "hrv_data" / "prompts"
SECONDS_BETWEEN_LOOKS = 2.0


class ServerError(RuntimeError):
    """A server could not be reached, refused a graph, or ended it with an error. One line that names the server."""


class Server:
    """One ComfyUI server. address: host:port, or a whole http(s) address."""

    def __init__(self, address: str):
        self.address = address if "://" in address else f"http://{address}"

    def call(self, path: str, body: dict | None = None) -> dict:
        """GET, or POST of JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as refusal:
            raise ServerError(f"{self.address} refused {path}: {_reason(refusal.read())}") from None
        except OSError as error:
            raise ServerError(f"{self.address} cannot be reached: {error}") from None
        return json.loads(text) if text.strip() else {}

    def run(self, graph: dict, cancelled) -> dict:
        """Runs a graph to its end and returns its outputs by node; stops it when `cancelled()` says so."""
        number = self.call("/prompt", {"prompt": graph, "client_id": uuid.uuid4().hex})["prompt_id"]
        while True:
            entry = self.call(f"/history/{number}").get(number)
            if entry and entry.get("status", {}).get("completed"):
                return entry.get("outputs", {})
            if entry and entry.get("status", {}).get("status_str") == "error":
                raise ServerError(f"{self.address}: {_failure(entry)}")
            if cancelled():
                self._cancel(number)
                raise ServerError(f"{self.address}: stopped; what was counted is in its models/hrv")
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _cancel(self, number: str) -> None:
        """Takes our own graph out of the queue, and interrupts it only if it is the one that runs."""
        self.call("/queue", {"delete": [number]})
        if any(item[1] == number for item in self.call("/queue").get("queue_running", [])):
            self.call("/interrupt", {"prompt_id": number})

    def vector_files(self) -> list[str]:
        """What Load Head Relevance offers."""
        name = self.call("/object_info/HRVLoadVectors")["HRVLoadVectors"]["input"]["required"]["name"]
        return name[0] if isinstance(name[0], list) else name[1]["options"]


def _reason(text: bytes) -> str:
    """What a refusal says, in one line."""
    try:
        said = json.loads(text)
        errors = [e["details"] or e["message"] for n in said["node_errors"].values() for e in n["errors"]]
        return "; ".join([said["error"]["message"], *errors])
    except (ValueError, KeyError, TypeError, AttributeError):
        return " ".join(text.decode(errors="replace").split())[:300]


def _failure(entry: dict) -> str:
    for kind, said in entry["status"].get("messages", []):
        if kind == "execution_error":
            return " ".join(str(said.get("exception_message", "")).split())
        if kind == "execution_interrupted":
            return "cancelled on the server"
    return "the graph ended with an error"


def build_graph(checkpoint: str, settings: dict, name: str) -> dict:
    """Loader → Build Head Relevance → Save Head Relevance, in the API's form. checkpoint: a file name, or "demo"."""
    loader = (
        {"class_type": "HRVDemoCheckpoint", "inputs": {}}
        if checkpoint == "demo"
        else {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": checkpoint}}
    )
    inputs = {"model": ["loader", 0], "clip": ["loader", 1], **settings}
    return {
        "loader": loader,
        "build": {"class_type": "HRVBuildVectors", "inputs": inputs},
        "save": {
            "class_type": "HRVSaveVectors",
            "inputs": {"vectors": ["build", 0], "filename_prefix": name},
        },
    }


def merge_graph(files: list[str], name: str) -> dict:
    """Load Head Relevance for each file, merged one after the other, and saved."""
    graph = {f"load{i}": {"class_type": "HRVLoadVectors", "inputs": {"name": f}} for i, f in enumerate(files)}
    last = "load0"
    for i in range(1, len(files)):
        inputs = {"vectors_a": [last, 0], "vectors_b": [f"load{i}", 0]}
        graph[f"merge{i}"] = {"class_type": "HRVMergeVectors", "inputs": inputs}
        last = f"merge{i}"
    inputs = {"vectors": [last, 0], "filename_prefix": name}
    return {**graph, "save": {"class_type": "HRVSaveVectors", "inputs": inputs}}


def shares(prompts: list[str], seed: int, servers: int, split: str) -> list[dict]:
    """The inputs in which the servers' graphs differ. Prompts are dealt out one by one."""
    if split == "seeds":
        return [{"prompts": "\n".join(prompts), "seed": seed + i} for i in range(servers)]
    parts = [prompts[i::servers] for i in range(servers)]
    return [{"prompts": "\n".join(part), "seed": seed} for part in parts if part]


def merge(server: Server, files: list[str], name: str) -> str:
    """Merges files that the server has; returns what Save Head Relevance says."""
    return server.run(merge_graph(files, name), lambda: False)["save"]["text"][0]


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    servers = [Server(address) for address in options.servers]
    if options.merge:
        print(merge(servers[0], options.merge, options.name))
        return 0
    listed = options.prompts or PROMPTS / f"{options.concepts}.txt"
    listed = listed if listed.is_file() or options.prompts else PROMPTS / "general.txt"
    lines = (line.strip() for line in listed.read_text(encoding="utf-8").splitlines())
    prompts = [line for line in lines if line and not line.startswith("#")][: options.limit or None]
    names = ("concepts", "steps", "cfg", "width", "height", "draws", "method")
    common = {name: getattr(options, name) for name in names}
    run = uuid.uuid4().hex[:8]
    jobs = shares(prompts, options.seed, len(servers), options.split)
    stop: list[bool] = []

    def work(job):
        number, (server, share) = job
        prefix = f"shards/{run}_{number}"
        said = server.run(build_graph(options.checkpoint, {**common, **share}, prefix), lambda: bool(stop))
        print(f"{server.address}: {said['save']['text'][0]}", flush=True)

    with ThreadPoolExecutor(len(jobs)) as pool:
        running = [pool.submit(work, job) for job in enumerate(zip(servers, jobs, strict=False))]
        failed = []
        try:
            for one in running:
                try:
                    one.result()
                except ServerError as error:
                    failed.append(str(error))
                    print(error, file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            stop.append(True)
            print("stopping the servers …", file=sys.stderr)
            return 130
    expected = len(jobs) - len(failed)
    found = [
        file for file in servers[0].vector_files() if file.replace("\\", "/").startswith(f"shards/{run}_")
    ]
    if expected and len(found) == expected:
        print(merge(servers[0], found, options.name) if expected > 1 else "One share only: nothing to merge.")
        return 1 if failed else 0
    print(
        f"{servers[0].address} has {len(found)} of the {expected} files. Copy the others into its models/hrv/shards, and merge "
        f"with: --merge {' '.join(found)} …"
    )
    return 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--servers", nargs="+", required=True, metavar="HOST:PORT")
    parser.add_argument("--checkpoint", default="demo", help="file in models/checkpoints, or demo (default)")
    parser.add_argument(
        "--concepts", default="general", help="file in models/hrv/concepts or of the pack, without .json"
    )
    parser.add_argument("--prompts", type=Path, help="text file, one prompt a line; default: the pack's list")
    parser.add_argument("--limit", type=int, default=0, help="only the first so many prompts")
    parser.add_argument("--split", choices=("prompts", "seeds"), default="prompts")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--cfg", type=float, default=7.0)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--method", choices=("votes", "agreement"), default="votes", help="as in the node")
    parser.add_argument(
        "--name", default="head_relevance", help="what the merged file is called in models/hrv"
    )
    parser.add_argument(
        "--merge", nargs="+", metavar="NAME", help="only merge these files of the first server"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
