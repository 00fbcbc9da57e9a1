"""Checks of what the pack knows of ComfyUI's page: whether the page that this ComfyUI pins still has the names.

Names of members and events outlive the minifier. What they do, tests/browser shows.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

from fact_checks import CHECKS

from devtools.setup import ROOT

# name of the fact → what the page's code has when it is there
PATTERNS = {
    "RUNS": r"\.ALWAYS=0\]",
    "NEVER": r"\.NEVER=2\]",
    "BYPASS": r"\.BYPASS=4\]",
    "FROM_OUTSIDE": r"(toNodeId\(|origin_id===)-10\b",
    "TO_OUTSIDE": r"(toNodeId\(|target_id===)-20\b",
    "GRAPH_CHANGED": r"\bgraphChanged\b",
    "EXECUTION_ERROR": r"\bexecution_error\b",
    "EXECUTION_START": r"\bexecution_start\b",
    "EXECUTING": r"[\"'`]executing[\"'`]",
    "registerExtension": r"\bregisterExtension\(",
}
MEMBERS = (
    "nodeCreated", "loadedGraphNode", "afterConfigureGraph", "onNodeOutputsUpdated", "onExecuted", "onConfigure",
    "onSerialize", "onConnectionsChange", "onRemoved", "onDrawBackground", "hideOutputImages", "processMouseWheel", "processMouseDown", "processMouseMove", "processMouseUp", "vueNodesMode",
    "queuePrompt", "createNode", "OpenMaskEditor", "addDOMWidget", "addCustomWidget", "isSubgraphNode", "LGraphNode", "removeWidget", "hideOnZoom", "computeLayoutSize",
    "getMinHeight", "getMaxHeight", "computeSize", "setSize", "setDirtyCanvas", "comfyClass", "isVirtualNode",
    "getInputLink", "getNodeById", "isInputConnected", "linkIds", "subgraphs", "rootGraph", "nodeOutputs", "emitBeforeChange",
    "emitAfterChange", "extensionManager", "fetchApi", "apiURL", "widgets_values",
)  # fmt: skip


@functools.cache
def page() -> str:
    """All code of the page."""
    import comfyui_frontend_package

    static = Path(comfyui_frontend_package.__file__).parent / "static"
    return "\n".join(file.read_text(encoding="utf-8") for file in static.rglob("*.js"))


@functools.cache
def ours() -> str:
    """All code of the pack's own in the page."""
    return "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "js").rglob("*.js"))


def is_there(name: str, pattern: str):
    def check(comfy):
        assert re.search(rf"\b{name}\b", ours()), f"nothing in js/ uses {name}"
        assert re.search(pattern, page()), f"the page's code has nothing like {pattern}"

    return check


for name, pattern in {**PATTERNS, **{name: rf"\b{name}\b" for name in MEMBERS}}.items():
    CHECKS[f"page.{name}"] = is_there(name, pattern)
