"""Fixtures for tests in a real browser: `server` with the pack, `editor` with ComfyUI's own page.

They need Playwright (`pip install playwright`) and Chromium (`apt-get install chromium`, or its path in CHROMIUM), and
are skipped without.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from editor import FLAGS, SETTINGS, Editor

from devtools.releases import DEFAULT
from devtools.server import ROOT, ComfyServer

COMFYUI = Path(os.environ.get("HRV_COMFYUI") or ROOT / ".host" / f"comfyui-{DEFAULT}")
SHOTS = ROOT / ".host" / "screenshots"


@pytest.fixture(scope="session")
def browser():
    """Chromium without a window."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        pytest.skip("no Chromium on this computer, so the editor's page is not tested")
    driver = pytest.importorskip("playwright.sync_api", reason="no Playwright (pip install playwright)")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(browser) -> Iterator[ComfyServer]:
    """A real server with the pack."""
    with ComfyServer(COMFYUI) as running:
        running.post("/settings", SETTINGS)
        yield running


@pytest.fixture(scope="session", params=[False, True], ids=["canvas", "nodes 2.0"])
def open_editor(request, browser, server) -> Iterator[Editor]:
    """ComfyUI's page in both renderers, one page for all tests of a renderer."""
    server.post("/settings", {**SETTINGS, "Comfy.VueNodes.Enabled": request.param})
    page = browser.new_page(viewport={"width": 1500, "height": 1050})
    editor = Editor(page, server)
    editor.open()
    yield editor
    page.close()


@pytest.fixture
def editor(request, open_editor) -> Iterator[Editor]:
    """The page with an empty graph. At the end no script of the pack has complained; a picture of the page lies in
    .host/screenshots."""
    open_editor.empty()
    open_editor.complaints.clear()
    yield open_editor
    SHOTS.mkdir(parents=True, exist_ok=True)
    name = request.node.name.replace("/", "_").replace(" ", "_")
    open_editor.page.screenshot(path=SHOTS / f"{name}.png")
    assert not open_editor.complaints


@pytest.fixture(scope="session")
def bare_page(browser, server):
    """A page of the server without ComfyUI's own scripts, to try the pack's modules in."""
    page = browser.new_page()
    page.goto(f"http://{server.address}/system_stats")
    yield page
    page.close()
