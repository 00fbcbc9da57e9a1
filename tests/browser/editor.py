"""ComfyUI's page, driven as a user would: open a graph, run it, point and click in the lens."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from devtools.server import ROOT, ComfyServer

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]
SETTINGS = {
    "Comfy.TutorialCompleted": True, "Comfy.Minimap.Visible": False, "Comfy.Graph.CanvasInfo": False,
    "Comfy.Workflow.ShowMissingModelsWarning": False,
}  # fmt: skip
SHOTS = ROOT / ".host" / "screenshots"
READY = "() => window.app && window.app.graph && window.app.canvas"
PACK = "/extensions/ComfyUI-HRV/"
# nothing of the page's own over the graph; warnings each time, and not only to the first who gives occasion
PREPARE = """() => {
    const style = document.createElement("style");
    const hidden = ".p-dialog-mask, .p-toast, [data-testid=toast], [class*=side-tool-bar]";
    style.textContent = `${hidden} { display: none !important }`;
    document.head.append(style);
    window.LiteGraph.alwaysRepeatWarnings = true;
}"""
LENS_OF_PAGE = "const lens = [...document.querySelectorAll('.hrv-lens')].map((e) => e.lens).find(Boolean);"
CENTRE = """([type, scale]) => {
    const node = window.app.canvas.graph._nodes.find((n) => n.type === type);
    const { ds, canvas } = window.app.canvas;
    const ratio = window.devicePixelRatio;
    ds.scale = scale;
    ds.offset = [canvas.width / ratio / scale / 2 - node.pos[0] - node.size[0] / 2,
                 canvas.height / ratio / scale / 2 - node.pos[1] - node.size[1] / 2 + 15];
    window.app.canvas.setDirty(true, true);
}"""


def example(job: str, steps: int = 4) -> dict:
    """The example that does this job, with few steps and nothing pinned in its lens, under an id of its own: the page
    mixes up tabs whose graphs have the same one."""
    (path,) = (ROOT / "example_workflows").glob(f"[0-9][0-9]_{job}.json")
    workflow = {**json.loads(path.read_text("utf-8")), "id": str(uuid.uuid4())}
    for node in workflow["nodes"]:
        if node["type"] == "KSampler":
            node["widgets_values"][2] = steps
        if node["type"] == "HRVLens":
            node["widgets_values"][1] = ""
    return workflow


class Editor:
    """One page, with Nodes 2.0 or without. `complaints` are errors of the pack's scripts, what the page warns them of, and
    whatever was thrown."""

    def __init__(self, page, server: ComfyServer, nodes2: bool = False):
        self.page, self.server, self.nodes2, self.complaints = page, server, nodes2, []
        self._is_new = True  # and may still be starting
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"thrown: {error}"))
        session = page.context.new_cdp_session(page)  # which tells the stack of each line in the console
        session.on("Runtime.consoleAPICalled", self._warned)
        session.send("Runtime.enable")

    def _heard(self, message) -> None:
        if message.type == "error" and (
            "hrv" in message.text.lower() or "hrv" in str(message.location).lower()
        ):
            self.complaints.append(message.text)

    def _warned(self, event: dict) -> None:
        """Warnings that something is deprecated, where the pack's scripts gave the occasion."""
        text = " ".join(str(part.get("value", "")) for part in event["args"])
        frames = event.get("stackTrace", {}).get("callFrames", [])
        if "deprecated" in text.lower() and any(PACK in frame["url"] for frame in frames):
            self.complaints.append(text)

    def open(self) -> None:
        self.page.goto(f"http://{self.server.address}/")
        self.page.wait_for_function(READY, timeout=180_000)
        self.page.wait_for_timeout(3000)
        self.page.evaluate(PREPARE)
        self._is_new = True

    def load(self, workflow: Path | dict, wait: int = 800) -> None:
        """Opens a graph, as dropping its file on the page would. wait: milliseconds until it should be there."""
        graph = json.loads(workflow.read_text("utf-8")) if isinstance(workflow, Path) else workflow
        there = "count => (window.app.rootGraph ?? window.app.graph)._nodes.length === count"
        for _ in range(6400 // wait):  # a page that is still starting puts its own graph in the place of ours
            self.page.evaluate("graph => window.app.loadGraphData(graph)", graph)
            self.page.wait_for_timeout(wait)
            if self.page.evaluate(there, len(graph["nodes"])):
                return
        raise TimeoutError("the graph did not open")

    def empty(self) -> None:
        """An empty graph, nothing under the pointer."""
        self.page.mouse.move(5, 500)
        self.load(
            {"last_node_id": 0, "last_link_id": 0, "nodes": [], "links": [], "version": 0.4},
            wait=800 if self._is_new else 250,
        )
        self._is_new = False

    def saved(self) -> dict:
        """The graph as the page would save it."""
        return self.page.evaluate(
            "() => JSON.parse(JSON.stringify((window.app.rootGraph ?? window.app.graph).serialize()))"
        )

    def told(self) -> list[str]:
        """What the page's notices in its corner say."""
        self.page.wait_for_timeout(500)
        return self.page.locator(".p-toast-message, [data-testid=toast]").all_text_contents()

    def clear_notices(self) -> None:
        self.page.evaluate(
            "() => { const t = window.app.extensionManager.toast; (t.dismissAll ?? t.removeAll)(); }"
        )
        self.page.wait_for_timeout(300)

    def command(self, name: str) -> None:
        """Runs one of the page's commands."""
        self.page.evaluate("name => window.app.extensionManager.command.execute(name)", name)

    def run(self, minutes: float = 5) -> dict:
        """Runs the graph to its end, which must come within so many minutes; returns the history entry."""
        before = set(self.server.get("/history"))
        self.page.evaluate("() => window.app.queuePrompt(0)")
        for _ in range(round(minutes * 600)):
            self.page.wait_for_timeout(100)
            fresh = set(self.server.get("/history")) - before
            if fresh:
                self.page.wait_for_timeout(500)
                return self.server.get("/history")[fresh.pop()]
        raise TimeoutError("the graph did not end")

    def until(self, script: str, timeout: float = 60_000) -> None:
        """Waits for what `script` says of `lens`, the view of the first lens on the page."""
        self.page.wait_for_function(f"() => {{ {LENS_OF_PAGE} return lens && ({script}); }}", timeout=timeout)

    def nodes(self, expression: str):
        """Evaluates `expression` with `nodes`, those of the graph that is shown."""
        return self.page.evaluate(
            f"() => {{ const nodes = window.app.canvas.graph._nodes; return {expression}; }}"
        )

    def offered(self, node_type: str) -> list[str]:
        """Words that a node offers for picking, those picked with a star."""
        self.page.wait_for_timeout(400)
        return self.page.evaluate(
            "type => [...window.app.canvas.graph._nodes.find((n) => n.type === type)"
            ".widgets.find((w) => w.name === 'word_picker').element.querySelectorAll('.hrv-word')]"
            ".map((b) => b.textContent + (b.getAttribute('aria-pressed') === 'true' ? '*' : ''))",
            node_type,
        )

    def centre(self, node_type: str, scale: float = 1.0) -> None:
        """Brings a node into the middle of the page, at this zoom."""
        self.page.evaluate(CENTRE, [node_type, scale])
        self.page.wait_for_timeout(800)

    def resize(self, node_type: str, size: list[int]) -> None:
        """Gives a node this width and height: by its corner in Nodes 2.0, as a user does; some pages hear of no other way."""
        (before,) = self.nodes(f"nodes.filter((n) => n.type === '{node_type}').map((n) => [n.id, ...n.size])")
        corner = self.page.locator(f"[data-node-id='{before[0]}'] [aria-label*='bottom-right']")
        if corner.count():
            self.centre(node_type, scale := 0.4)
            box = corner.bounding_box()
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            self.page.mouse.move(x, y)
            self.page.mouse.down()
            now = self.page.locator(f"[data-node-id='{before[0]}']").bounding_box()
            self.page.mouse.move(
                x + scale * size[0] - now["width"], y + scale * size[1] - now["height"], steps=8
            )
            self.page.mouse.up()
        else:
            self.page.evaluate(
                "([type, size]) => { const c = window.app.canvas; c.graph._nodes.find((n) => n.type === type).setSize(size);"
                " c.setDirty(true, true); }",
                [node_type, size],
            )
        self.page.wait_for_timeout(500)

    def widget(self, node_type: str, name: str):
        return self.page.evaluate(
            "([type, name]) => window.app.canvas.graph._nodes.find((n) => n.type === type)"
            ".widgets.find((w) => w.name === name).value",
            [node_type, name],
        )

    def lens(self, script: str):
        """Evaluates `script` with `lens`, the view of the first lens on the page."""
        return self.page.evaluate(f"() => {{ {LENS_OF_PAGE} return {script}; }}")

    def letters(self, view: str) -> list[tuple[str, float]]:
        """[text, height of its type on the screen] of all that a view shows."""
        return self.page.locator(view).evaluate(
            """(view) => {
                const zoom = view.getBoundingClientRect().width / view.offsetWidth;
                const walk = document.createTreeWalker(view, NodeFilter.SHOW_TEXT);
                const found = [];
                while (walk.nextNode()) {
                    const of = walk.currentNode.parentElement;
                    if (of.offsetParent) found.push([walk.currentNode.data, parseFloat(getComputedStyle(of).fontSize) * zoom]);
                }
                return found;
            }"""
        )

    def cpu_time(self, script: str) -> float:
        """Seconds of the processor that the page's main thread takes for `script`; other programs do not count."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def spent() -> float:
            metrics = session.send("Performance.getMetrics")["metrics"]
            return next(metric["value"] for metric in metrics if metric["name"] == "ThreadTime")

        before = spent()
        self.page.evaluate(script)
        taken = spent() - before
        session.detach()
        return taken

    def chip(self, name: str):
        return self.page.locator(".hrv-chip").filter(has_text=name).first
