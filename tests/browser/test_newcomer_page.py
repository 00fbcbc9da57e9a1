"""The path of a newcomer by the README's words alone, with the pointer and the keyboard, counted in clicks."""

import time

import pytest
from editor import READY, Editor

from devtools.server import ROOT

MOST_CLICKS = 12  # from an open ComfyUI to the first mask


class Newcomer:
    """Does what a hand does, and counts it."""

    def __init__(self, editor: Editor):
        self.editor, self.page, self.clicks, self.began = editor, editor.page, 0, time.monotonic()

    def click(self, place) -> None:
        place.click()
        self.clicks += 1
        self.page.wait_for_timeout(300)

    def run(self) -> None:
        """Presses Run, and waits for the end."""
        before = set(self.editor.server.get("/history"))
        self.click(self.page.get_by_role("button", name="Run", exact=True).first)
        for _ in range(3000):
            self.page.wait_for_timeout(100)
            if fresh := set(self.editor.server.get("/history")) - before:
                entry = self.editor.server.get("/history")[fresh.pop()]
                assert entry["status"]["status_str"] == "success"
                return
        raise TimeoutError("the workflow did not end")


@pytest.fixture
def newcomer(browser, server_of, open_editor):
    """A page without our changes of style: the newcomer needs the side bar and dialogs."""
    tab = browser.new_page(viewport={"width": 1920, "height": 1080})
    editor = Editor(tab, open_editor.server, open_editor.nodes2)
    tab.goto(f"http://{editor.server.address}/")
    tab.wait_for_function(READY, timeout=180_000)
    tab.wait_for_timeout(3000)
    yield Newcomer(editor)
    tab.close()


@pytest.mark.one_page
def test_from_the_readme_to_a_mask_and_a_better_prompt(newcomer):
    page, click, editor = newcomer.page, newcomer.click, newcomer.editor
    readme = (ROOT / "README.md").read_text("utf-8")
    path = readme[readme.index("## Your first") : readme.index("## Nodes")]
    for said in (
        "Templates",
        "Extensions",
        "01_look_into_the_image",
        "Run",
        "Point at",
        "Click",
        "Put (fish:1.3) into the prompt",
    ):
        assert said in path, f"the README does not say “{said}”"

    page.keyboard.press("Escape")  # whatever a first visit opens
    click(page.get_by_role("button", name="Templates").first)
    click(page.get_by_text("ComfyUI-HRV", exact=True).first)
    click(page.get_by_text("01_look_into_the_image").first)
    page.wait_for_function("() => window.app.graph._nodes.some((n) => n.type === 'HRVLens')", timeout=30_000)
    for node in ("KSampler",):  # the model draws for as long as it takes; fewer steps only save time here
        page.evaluate(
            "type => { window.app.graph._nodes.find((n) => n.type === type).widgets.find((w) => w.name === 'steps').value = 6; }",
            node,
        )
    page.evaluate(
        "() => { window.app.graph._nodes.find((n) => n.type === 'HRVLens').widgets.find((w) => w.name === 'words').value = ''; }"
    )
    newcomer.run()
    page.wait_for_selector(".hrv-chip:not([hidden])", timeout=60_000)
    page.locator(".hrv-chip").filter(has_text="star").first.hover()
    page.wait_for_timeout(400)
    assert "“star”" in page.locator(".hrv-status").inner_text()
    click(page.locator(".hrv-chip").filter(has_text="fish").first)
    click(page.get_by_role("button", name="Run to update the mask"))
    page.wait_for_timeout(4000)
    assert newcomer.clicks <= MOST_CLICKS, newcomer.clicks
    first_mask = (newcomer.clicks, time.monotonic() - newcomer.began)

    click(page.get_by_role("button", name="Templates").first)
    click(page.get_by_text("ComfyUI-HRV", exact=True).first)
    click(page.get_by_text("03_why_did_my_prompt_go_wrong").first)
    page.wait_for_function(
        "() => window.app.graph._nodes.some((n) => n.type === 'HRVPromptReport')", timeout=30_000
    )
    newcomer.run()
    remedy = page.get_by_role("button", name="Put (fish:1.3) into the prompt")
    remedy.wait_for(timeout=60_000)
    click(remedy)
    newcomer.run()
    assert "(fish:1.3)" in editor.widget("CLIPTextEncode", "text")
    print(
        f"first mask: {first_mask[0]} clicks, {first_mask[1]:.0f} s; remedy applied and run again: {newcomer.clicks} clicks"
    )
