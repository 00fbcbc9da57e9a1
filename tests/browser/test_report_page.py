"""Prompt Report in ComfyUI's page: findings in the node, and a click that changes the prompt."""

import pytest
from editor import example

REPORT = "HRVPromptReport"
REMEDIED = """async ([text, kind, words, weight]) =>
    (await import('/extensions/ComfyUI-HRV/report/remedies.js')).remedied(text, { kind, words, weight })"""
# text, kind, words, weight → text, or None where the text does not tell
REMEDIES = [
    ("a red star and a blue fish", "weight", ["fish"], 1.3, "a red star and a blue (fish:1.3)"),
    ("a (fish:1.2) on sand", "weight", ["fish"], 1.5, "a (fish:1.5) on sand"),
    ("a (fish) on sand", "weight", ["fish"], 1.3, "a (fish:1.3) on sand"),
    ("a cat, a dog, a cat", "weight", ["cat#2"], 1.3, "a cat, a dog, a (cat:1.3)"),
    ("1girl, blue_eyes, hat", "weight", ["blue_eyes"], 1.3, "1girl, (blue_eyes:1.3), hat"),
    (r"1girl, tracer_\(overwatch\), hat", "weight", ["tracer_(overwatch)"], 1.3, r"1girl, (tracer_\(overwatch\):1.3), hat"),
    ("🐟 and a fish", "weight", ["fish"], 1.3, "🐟 and a (fish:1.3)"),
    ("a (red fish:1.2)", "weight", ["fish"], 1.3, "a (red (fish:1.3):1.2)"),
    ("a (red:1.2) fish", "weight", ["red fish"], 1.3, None),
    ("a cat", "weight", ["dog"], 1.3, None),
    ("1girl, blue eyes, hat", "first", ["hat"], None, "hat, 1girl, blue eyes"),
    ("1girl, (hat:1.2), sky", "first", ["hat"], None, "(hat:1.2), 1girl, sky"),
    ("hat, 1girl", "first", ["hat"], None, None),
    ("a red star and a blue fish", "first", ["fish"], None, "fish, a red star and a blue fish"),
    ("a red star and a blue fish", "split", ["star", "fish"], None, "a red star, a blue fish"),
    ("a red star beside a fish", "split", ["fish", "star"], None, "a red star, beside a fish"),
    ("a red star, a fish", "split", ["star", "fish"], None, None),
    ("1girl, hat, sky", "remove", ["hat"], None, "1girl, sky"),
    ("hat, 1girl", "remove", ["hat"], None, "1girl"),
    ("1girl, (hat:1.2)", "remove", ["hat"], None, "1girl"),
    ("a very red star.", "remove", ["very"], None, "a red star."),
    ("a very red star", "remove", ["very", "red"], None, "a star"),
]  # fmt: skip


@pytest.mark.parametrize("text, kind, words, weight, wanted", REMEDIES)
def test_a_remedy_changes_the_text(bare_page, text, kind, words, weight, wanted):
    assert bare_page.evaluate(REMEDIED, [text, kind, words, weight]) == wanted


def test_findings_are_read_and_put_right_in_the_node(editor):
    editor.load(example("why_did_my_prompt_go_wrong", steps=12))
    assert editor.run()["status"]["status_str"] == "success"
    editor.page.wait_for_selector(".hrv-report-finding")
    editor.centre(REPORT)
    assert all(size >= 11 for _, size in editor.letters(".hrv-report"))
    (headline,) = editor.page.locator(".hrv-report-headline").all_text_contents()
    assert headline == "“fish” may be missing."
    editor.centre(REPORT, 0.7)
    sizes = dict(editor.letters(".hrv-report"))
    assert sizes[headline] >= 11, "the finding can be read at 70 % too"
    editor.centre(REPORT)
    image = editor.page.locator(".hrv-report-finding img")
    assert image.evaluate("e => e.complete && e.naturalWidth > 0 && e.getBoundingClientRect().width >= 100")
    node = editor.nodes(f"nodes.find((n) => n.type === '{REPORT}').id")
    if editor.nodes2:
        assert editor.page.locator(f"[data-node-id='{node}'] img").count() == 1, (
            "and no page too small to read"
        )

    before = editor.widget("CLIPTextEncode", "text")
    editor.page.get_by_role("button", name="Put (fish:1.3) into the prompt").click()
    editor.page.wait_for_timeout(400)
    assert editor.widget("CLIPTextEncode", "text") == before.replace("fish", "(fish:1.3)")
    assert "Run the workflow again" in editor.page.locator(".hrv-report-note").inner_text()
    done = editor.page.get_by_role("button", name="(fish:1.3)")
    assert done.is_disabled() and done.inner_text().endswith("✓")
    editor.command("Comfy.Undo")
    editor.page.wait_for_timeout(1500)
    assert editor.widget("CLIPTextEncode", "text") == before
    assert editor.page.locator(".hrv-report-headline").all_text_contents() == [headline], (
        "the report is still there"
    )
    assert editor.page.locator(".hrv-report-note").count() == 0


@pytest.mark.one_page
def test_a_prompt_that_no_field_has_is_copied(editor):
    editor.load(example("why_did_my_prompt_go_wrong", steps=12))
    assert editor.run()["status"]["status_str"] == "success"
    editor.page.wait_for_selector(".hrv-report-finding")
    editor.centre(REPORT)
    editor.page.evaluate(
        "() => { window.app.canvas.graph._nodes.filter((n) => n.type === 'CLIPTextEncode').forEach((n) => (n.widgets[0].value = 'a house')); }"
    )
    editor.page.mouse.move(5, 500)
    button = editor.page.locator(".hrv-report-remedies button").first
    button.hover()
    assert button.get_attribute("title").startswith("Copies it")
    button.click()
    editor.page.wait_for_timeout(300)
    assert "(fish:1.3)" in button.inner_text()
    assert editor.widget("CLIPTextEncode", "text") == "a house"
