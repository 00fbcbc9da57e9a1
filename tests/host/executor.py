"""ComfyUI's own executor in this process: prompts in API format, validated and run as the server does, with the server's
caches, and with any Python object as an input.

    runner = Runner(comfy)
    outcome = runner.run({"1": given(my_recording), "2": node("HRVHeatmap", attention=["1", 0], …)})
    outcome.status          "success", "refused", "error" or "interrupted"
    outcome.message         what the user reads
    outcome.outputs["2"]    what the node gave
"""

from __future__ import annotations

import asyncio
import inspect
import uuid
from dataclasses import dataclass, field

GIVEN: dict[str, object] = {}


class Given:
    """A node that gives what a test has put into `GIVEN`, at any socket."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("*",), "give", "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"key": ("STRING", {})}}

    def give(self, key):
        return (GIVEN[key],)


class Taken:
    """An output node that keeps what reaches it, for the test to look at."""

    RETURN_TYPES, FUNCTION, CATEGORY, OUTPUT_NODE = (), "take", "test", True
    INPUT_IS_LIST = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("*", {}), "key": ("STRING", {})}}

    def take(self, value, key):
        GIVEN[key[0]] = value
        return {}


def node(class_type: str, **inputs) -> dict:
    return {"class_type": class_type, "inputs": inputs}


def given(value: object, key: str | None = None) -> dict:
    """A node that gives `value`. The same key means the same value to the caches."""
    key = key or uuid.uuid4().hex
    GIVEN[key] = value
    return node("HRVTestGiven", key=key)


def taken(node_id: str, slot: int = 0) -> dict:
    """A node that keeps an output: `outcome.taken[node_id, slot]` is the list of its values."""
    return node("HRVTestTaken", value=[node_id, slot], key=f"{node_id} {slot}")


@dataclass
class Outcome:
    """What became of a prompt. messages: everything the user would read, refusals of single inputs included."""

    status: str
    messages: list[str] = field(default_factory=list)
    error_type: str = ""
    failed: str = ""
    refused: set[str] = field(default_factory=set)
    outputs: dict = field(default_factory=dict)
    cached: list[str] = field(default_factory=list)

    @property
    def message(self) -> str:
        return "\n".join(self.messages)


class _NoServer:
    """What the executor wants of a server."""

    client_id = last_node_id = None

    def send_sync(self, *args, **kwargs) -> None:
        pass


class Runner:
    """Runs prompts one after the other with one cache. cache: CLASSIC, LRU, RAM_PRESSURE or NONE."""

    def __init__(self, comfy, cache: str = "CLASSIC", **cache_args):
        import execution

        comfy.nodes.NODE_CLASS_MAPPINGS.update({"HRVTestGiven": Given, "HRVTestTaken": Taken})
        self._module = execution
        arguments = {"lru": 0, "ram": 0.0, "ram_inactive": 0.0, **cache_args}
        kind = getattr(execution.CacheType, cache)
        known = inspect.signature(execution.PromptExecutor).parameters
        arguments = {"cache_args": arguments} if "cache_args" in known else {"cache_size": arguments["lru"]}
        self._executor = execution.PromptExecutor(_NoServer(), cache_type=kind, **arguments)

    def run(self, prompt: dict) -> Outcome:
        """Validate a prompt and run what is valid of it, as the server does."""
        checked = self.validate(prompt)
        if checked.status == "refused":
            return checked
        outputs = checked.outputs
        self._executor.execute(prompt, uuid.uuid4().hex, {}, sorted(outputs))
        outcome = Outcome("success", checked.messages, refused=checked.refused)
        outcome.outputs = self._executor.history_result["outputs"] if self._executor.success else {}
        for event, data in self._executor.status_messages:
            if event == "execution_error":
                outcome.status, outcome.failed = "error", data["node_id"]
                outcome.error_type = data["exception_type"]
                outcome.messages.append(str(data["exception_message"]).strip())
            elif event == "execution_interrupted":
                outcome.status, outcome.failed = "interrupted", data["node_id"]
            elif event == "execution_cached":
                outcome.cached = data["nodes"]
        return outcome

    def validate(self, prompt: dict) -> Outcome:
        """What the server says when the prompt is queued; `outputs` are the output nodes that will run."""
        valid, error, good, node_errors = asyncio.run(
            self._module.validate_prompt(uuid.uuid4().hex, prompt, None)
        )
        messages = [f"{e['message']}: {e['details']}" for n in node_errors.values() for e in n["errors"]]
        if not valid:
            return Outcome(
                "refused", [f"{error['message']}: {error['details']}", *messages], refused=set(node_errors)
            )
        return Outcome("success", messages, refused=set(node_errors), outputs=dict.fromkeys(good))

    def forget(self) -> None:
        """Empties the caches."""
        self._executor.reset()
