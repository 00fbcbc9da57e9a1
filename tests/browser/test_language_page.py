"""With another language set in ComfyUI's page, nodes, their inputs and the pack's own areas speak it."""

import json

import pytest
from editor import SETTINGS, Editor, example

from devtools.server import ROOT

LABELS = """() => {
    const lens = window.app.graph._nodes.find((n) => n.type === "HRVLens");
    const names = (slots) => slots.map((s) => s.label ?? s.localized_name ?? s.name);
    return { title: lens.constructor.title, inputs: names(lens.inputs), fields: names(lens.widgets) };
}"""


@pytest.fixture
def french(browser, open_editor):
    """A page of its own, since a page takes its language when it is opened."""
    server = open_editor.server
    server.post("/settings", {**SETTINGS, "Comfy.VueNodes.Enabled": open_editor.nodes2, "Comfy.Locale": "fr"})
    editor = Editor(browser.new_page(viewport={"width": 1500, "height": 1050}), server, open_editor.nodes2)
    editor.open()
    yield editor
    editor.page.close()
    server.post("/settings", {"Comfy.Locale": "en"})
    assert not editor.complaints


def test_everything_but_the_prompt_is_french(french):
    texts = json.loads((ROOT / "locales" / "fr" / "nodeDefs.json").read_text("utf-8"))["HRVLens"]
    french.load(example("look_into_the_image", steps=1))
    french.page.wait_for_selector(".hrv-lens")
    shown = french.page.evaluate(LABELS)
    assert shown["title"] == texts["display_name"]
    assert {texts["inputs"][name]["name"] for name in ("attention", "latent", "vectors")} <= set(
        shown["inputs"]
    )
    assert {texts["inputs"][name]["name"] for name in ("unit", "words", "refine")} <= set(shown["fields"])
    lens = french.page.locator(".hrv-lens")
    assert "Lancez le workflow" in lens.locator(".hrv-empty").inner_text()
    assert lens.get_by_role("button", name="Copier le masque").count() == 1
    seen = lens.inner_text()
    assert all(word in seen for word in ("Vue", "Échelle", "Opacité", "Seuil")), seen
    french.run()
    french.page.wait_for_selector(".hrv-chip:not([hidden])")
    french.chip("star").hover()
    french.page.wait_for_timeout(400)
    assert "« star » reçoit jusqu’à" in french.page.locator(".hrv-status").inner_text().replace("'", "’")
