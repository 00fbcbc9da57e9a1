"""Fixtures for tests in a real browser: `server` with the pack, `editor` with ComfyUI's own page.

`editor` is the page that the ComfyUI release pins and the newest one (devtools/releases.py), each in both renderers; the
mark `one_page` leaves out the newest, for tests of what does not depend on the page.

They need Playwright (`pip install playwright`) and Chromium (`apt-get install chromium`, or its path in CHROMIUM), and
are skipped without; with HRV_BROWSER=required, as .ci/run has it, they fail instead.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from editor import FLAGS, SETTINGS, SHOTS, Editor

from devtools.releases import DEFAULT, NEWEST_PAGE
from devtools.server import ROOT, ComfyServer

COMFYUI = Path(os.environ.get("HRV_COMFYUI") or ROOT / ".host" / f"comfyui-{DEFAULT}")
PINNED, NEWEST = "pinned", "newest"
WAYS = [(page, nodes2) for page in (PINNED, NEWEST) for nodes2 in (False, True)]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def left_out(item: pytest.Item) -> bool:
        way = getattr(item, "callspec", None) and item.callspec.params.get("open_editor")
        return bool(way) and way[0] == NEWEST and item.get_closest_marker("one_page") is not None

    gone = [item for item in items if left_out(item)]
    config.hook.pytest_deselected(items=gone)
    items[:] = [item for item in items if item not in gone]


def missing(what: str) -> NoReturn:
    """Skips the test, or fails it where the browser's tests must run."""
    if os.environ.get("HRV_BROWSER") == "required":
        pytest.fail(f"{what}, and HRV_BROWSER=required", pytrace=False)
    pytest.skip(f"{what}, so ComfyUI's page is not tested")


def front_end(page: str) -> tuple[str, ...]:
    """The server's options for one of the pages."""
    if page == PINNED:
        return ()
    folder = os.environ.get("HRV_NEWEST_PAGE")
    if folder is None:  # pytest was started without dev.py
        folder = ROOT / ".host" / f"page-{NEWEST_PAGE.version}"
    if COMFYUI.name != f"comfyui-{DEFAULT}":
        pytest.skip(f"the newest page is tried with ComfyUI {DEFAULT}")
    if not folder or not Path(folder).is_dir():
        missing(f"the newest page ({NEWEST_PAGE.version}) is not on this computer (dev.py test fetches it)")
    return ("--front-end-root", str(folder))


@pytest.fixture(scope="session")
def browser():
    """Chromium without a window."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        missing("there is no Chromium on this computer")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("there is no Playwright here (pip install playwright)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server_of(browser) -> Iterator[Callable[[str], ComfyServer]]:
    """A real server with the pack, for each page; it starts when it is first needed."""
    with contextlib.ExitStack() as stack:
        running = {}

        def server_of(page: str) -> ComfyServer:
            if page not in running:
                running[page] = stack.enter_context(ComfyServer(COMFYUI, options=front_end(page)))
            return running[page]

        yield server_of


@pytest.fixture(scope="session")
def server(server_of) -> ComfyServer:
    return server_of(PINNED)


@pytest.fixture(scope="session", params=WAYS, ids=[f"{page}-{'nodes 2.0' if nodes2 else 'canvas'}" for page, nodes2 in WAYS])  # fmt: skip
def open_editor(request, browser, server_of) -> Iterator[Editor]:
    """ComfyUI's page, one for all tests of a renderer."""
    page, nodes2 = request.param
    server = server_of(page)
    server.post("/settings", {**SETTINGS, "Comfy.VueNodes.Enabled": nodes2})
    tab = browser.new_page(viewport={"width": 1500, "height": 1050})
    editor = Editor(tab, server, nodes2)
    editor.open()
    yield editor
    tab.close()


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
