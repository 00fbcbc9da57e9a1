"""Attention Lens before everything has arrived: nothing is read from maps or a picture that are still on their way."""

import pytest
import torch

from devtools.server import ROOT
from hrv_pack.hrv.look.lens_maps import pack

NAMES = ["red", "star", "blue", "fish", "sand"]
GRID = (8, 8)
ADDRESS = "http://lens.test/"
MODULE = ADDRESS + "lens/view.js"
OPEN = """async ([module, payload]) => {
    const { LensView } = await import(module);
    window.fields = { words: "fish, star", threshold: 0.4, concept: "", percent: 23 };
    window.asked = [];
    const host = {
        get: (name) => fields[name],
        set: (name, value) => (fields[name] = value),
        settled() {},
        locked: () => false,
        look: () => ({}),
        setLook() {},
        ask: (question) => new Promise((answer) => asked.push({ question, answer })),
        pictureAddress: () => payload.picture,
    };
    document.body.replaceChildren();
    window.view = new LensView(host);
    view.element.style.width = "400px";
    view.canvas.style.width = view.canvas.style.height = "400px";
    document.body.append(view.element);
    view.show(payload);
}"""
DOT = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


def payload(picture: str = DOT, maps: torch.Tensor | None = None) -> dict:
    packed = {"maps": None, "low": [], "high": [], "score": []} if maps is None else pack(maps, GRID)
    frame = {
        "names": NAMES,
        "grid": list(GRID),
        "bins": 1,
        "heads": 72,
        "source": "all 72 heads (DAAM)",
        "evaluations": 4,
    }
    return {"version": 1, "id": "0" * 32, "pictures": [{}], "frames": [{**frame, **packed}], "size": [64, 64],
            "concepts": [], "warnings": [], "picture": picture}  # fmt: skip


def blobs() -> torch.Tensor:
    """Each word in a place of its own; the fish in the upper left."""
    maps = torch.full((5, *GRID), 0.01)
    for word, (y, x) in enumerate([(6, 6), (6, 1), (1, 6), (1, 1), (4, 4)]):
        maps[word, y : y + 2, x : x + 2] = 0.5
    return maps


def serve(route) -> None:
    """The pack's own scripts, without a ComfyUI."""
    name = route.request.url.removeprefix(ADDRESS)
    if name == "":
        route.fulfill(content_type="text/html", body="<!doctype html><title>lens</title>")
    elif name.endswith(".js"):
        route.fulfill(content_type="text/javascript", body=(ROOT / "js" / name).read_text(encoding="utf-8"))
    # anything else never comes


@pytest.fixture
def page(browser):
    """A page with nothing in it; at the end nothing was thrown, promises that nobody took care of among them."""
    page, thrown = browser.new_page(), []
    page.on("pageerror", lambda error: thrown.append(error))
    page.route(f"{ADDRESS}**", serve)
    page.goto(ADDRESS)
    yield page
    page.wait_for_timeout(100)
    page.close()
    assert not thrown


def click(page, x: float, y: float, *modifiers: str) -> str:
    """Clicks the picture; returns the words that are pinned then."""
    page.locator(".hrv-canvas").click(position={"x": 400 * x, "y": 400 * y}, modifiers=list(modifiers))
    return page.evaluate("fields.words")


def status(page) -> str:
    page.wait_for_timeout(100)
    return page.evaluate("view.status.textContent")


def answer(page) -> None:
    """Answers the oldest question that the lens has asked."""
    page.wait_for_function("asked.length > 0")
    words = page.evaluate("asked[0].question.words")
    sent = {**pack(blobs()[words], GRID), "source": "all 72 heads (DAAM)"}
    page.evaluate("answer => asked.shift().answer(answer)", sent)
    page.wait_for_timeout(100)


def test_a_click_before_the_maps_have_come_keeps_the_pins(page):
    page.evaluate(OPEN, [MODULE, payload()])
    assert click(page, 0.2, 0.2) == "fish, star"
    assert "of some words are still loading" in status(page)
    answer(page)  # of two words: the one that leads among these need not lead among all
    assert not page.evaluate("view.set.complete")
    for modifiers in ((), ("Shift",)):
        assert click(page, 0.2, 0.2, *modifiers) == "fish, star"
    assert page.locator(".hrv-rank").is_hidden(), "nor are shares shown"
    while not page.evaluate("view.set.complete"):
        answer(page)
    assert "of some words are still loading" not in status(page)
    assert click(page, 0.2, 0.2) == "fish"
    assert page.locator(".hrv-rank").is_visible()
    assert click(page, 0.85, 0.85, "Shift") == "fish, red"


def test_the_line_below_says_that_maps_are_still_read(page):
    """Until then the largest value of all words, which is full heat on the shared scale, is not known."""
    page.evaluate(OPEN, [MODULE, payload()])
    answer(page)
    page.mouse.move(700, 700)
    assert "Still loading the recording" in status(page)
    while not page.evaluate("view.set.complete"):
        answer(page)
    assert "all 72 heads (DAAM)" in page.evaluate("view.status.title")


def test_a_click_where_no_word_has_heat_keeps_the_pins(page):
    page.evaluate(OPEN, [MODULE, payload(maps=torch.zeros(5, *GRID))])
    assert click(page, 0.5, 0.5) == "fish, star"
    assert "No word of the prompt got any attention here" in status(page)


def test_saving_waits_for_maps_and_picture(page):
    page.evaluate(OPEN, [MODULE, payload()])
    save = page.get_by_role("button", name="Save image")
    save.click()
    assert "of some words are still loading" in status(page)
    page.evaluate(OPEN, [MODULE, payload("/slow.png", blobs())])
    save.click()
    assert "The image is still loading" in status(page)
    page.evaluate(OPEN, [MODULE, payload(maps=blobs())])
    page.wait_for_function("view.stage.picture")
    with page.expect_download() as download:
        save.click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_saved_is_said(page):
    """As where a browser is short of memory: there was no word of it, and a promise that nobody took care of."""
    page.evaluate(OPEN, [MODULE, payload(maps=blobs())])
    page.wait_for_function("view.stage.picture")
    page.evaluate("() => { HTMLCanvasElement.prototype.toBlob = function (done) { done(null); }; }")
    page.get_by_role("button", name="Save image").click()
    assert "The image could not be saved" in status(page)
