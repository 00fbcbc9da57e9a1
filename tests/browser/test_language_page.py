"""With another language set in ComfyUI's page, nodes, their inputs and the pack's own areas speak it."""

import contextlib
import json

import pytest
from editor import SETTINGS, SHOTS, Editor, example
from test_messages_page import asked_for, set_field, told

from devtools.server import ROOT

LABELS = """() => {
    const lens = window.app.graph._nodes.find((n) => n.type === "HRVLens");
    const names = (slots) => slots.map((s) => s.label ?? s.localized_name ?? s.name);
    return { title: lens.constructor.title, inputs: names(lens.inputs), fields: names(lens.widgets) };
}"""


@contextlib.contextmanager
def opened_in(language: str, browser, open_editor):
    """A page of its own, since a page takes its language when it is opened."""
    server = open_editor.server
    server.post(
        "/settings", {**SETTINGS, "Comfy.VueNodes.Enabled": open_editor.nodes2, "Comfy.Locale": language}
    )
    editor = Editor(browser.new_page(viewport={"width": 1500, "height": 1050}), server, open_editor.nodes2)
    try:
        editor.open()
        yield editor
    finally:
        SHOTS.mkdir(parents=True, exist_ok=True)
        renderer = "nodes2" if open_editor.nodes2 else "canvas"
        editor.page.screenshot(path=SHOTS / f"language_{language}_{renderer}.png")
        editor.page.close()
        server.post("/settings", {"Comfy.Locale": "en"})
    assert not editor.complaints


@pytest.fixture
def french(browser, open_editor):
    with opened_in("fr", browser, open_editor) as editor:
        yield editor


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
    assert "«\u00a0star\u00a0» reçoit jusqu’à" in french.page.locator(".hrv-status").inner_text().replace(
        "'", "’"
    )


SAID = {  # the finding, what to try, what it rests on; a word that is not in the prompt; a warning
    "fr": (
        "«\u00a0fish\u00a0» manque peut-être.",
        "Donnez-lui plus de poids, (fish:1.3)",
        "s'accordent sur sa position à 0,",
        "«\u00a0dragon\u00a0» n'est pas dans le prompt.",
        "il y a donc une superposition par mot",
    ),
    "ja": (
        "「fish」がないかもしれません。",
        "重みを増やす（(fish:1.3)）",
        "その場所について 1 のうち 0.",
        "「dragon」はプロンプトにありません。",
        "オーバーレイは単語ごとに 1 枚です",
    ),
}
CUT = """() => [...document.querySelectorAll(".hrv-report *, .hrv-message *")]
    .filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 1).map((e) => e.className)"""


@pytest.mark.one_page
def test_what_the_server_says_is_said_in_the_language_of_the_page(browser, open_editor):
    """With the words in it: a finding, a note before the run, an error, a warning. A language for each renderer."""
    language = "ja" if open_editor.nodes2 else "fr"
    headline, tip, reason, unknown, one_part = SAID[language]
    with opened_in(language, browser, open_editor) as editor:
        page = editor.page
        editor.load(example("why_did_my_prompt_go_wrong", steps=12))
        editor.run()
        page.wait_for_selector(".hrv-report-headline")
        assert page.locator(".hrv-report-headline").all_text_contents() == [headline]
        assert tip in page.locator(".hrv-report-tip").inner_text()
        page.locator(".hrv-report summary").first.evaluate("(summary) => summary.click()")
        assert reason in page.locator(".hrv-report details p").first.inner_text()
        cut = page.evaluate(CUT)
        editor.load(asked_for("dragon"))
        assert told(editor) == [["note", unknown]]
        editor.run()
        ((kind, text),) = told(editor)
        assert kind == "error" and text.startswith(unknown)
        set_field(editor, "HRVHeatmap", "words", "star")
        set_field(editor, "HRVHeatmap", "timeline", True)
        editor.run()
        ((kind, text),) = told(editor)
        assert kind == "warning" and one_part in text
        assert {*cut, *page.evaluate(CUT)} <= {"hrv-report-word"}, "nothing is cut but long names of words"
