"""Attention Lens in the real host: the graph's contract, what reaches the browser, and the route it asks."""

import base64
import json
import random
import urllib.error
import urllib.request

import pytest
import torch

INPUTS = [
    ("attention", "HRV_ATTENTION", None, False),
    ("latent", "LATENT", None, False),
    ("image", "IMAGE", None, False),
    ("unit", ["auto", "words", "tags"], "auto", False),
    ("vectors", "HRV_VECTORS", None, True),
    ("words", "STRING", "", False),
    ("threshold", "FLOAT", 0.4, True),
    ("concept", "STRING", "", True),
    ("percent", "FLOAT", 23.0, True),
    ("prompt_text", "STRING", "", True),
    ("refine", ["none", "image edges"], "none", True),
    ("maps", ["best heads for each word", "all heads (DAAM)"], "best heads for each word", True),
    ("share", ["of everything", "of the text"], "of everything", True),
    ("border_peaks", ["left out", "kept"], "left out", True),
]
PROMPT = "a red star and a blue fish on sand"
NAMES = ["a#1", "red", "star", "and", "a#2", "blue", "fish", "on", "sand"]


def test_the_contract_of_the_graph(comfy):
    schema = comfy.node_class("HRVLens").GET_SCHEMA()
    found = [
        (i.id, getattr(i, "options", None) or i.get_io_type(), getattr(i, "default", None), bool(i.optional))
        for i in schema.inputs
    ]
    assert found == INPUTS
    assert [(o.display_name, o.get_io_type()) for o in schema.outputs] == [
        ("overlay", "IMAGE"),
        ("mask", "MASK"),
    ]
    assert schema.is_output_node


def test_overlay_and_mask_are_those_of_the_heatmap_node(comfy):
    import rig

    studio = rig.studio("sdxl")
    latent = {"samples": rig.sample(studio.recorded, studio.positive, studio.negative, rig.empty(2))}
    image = torch.rand(2, 128, 192, 3)
    asked = {"attention": studio.recording, "latent": latent, "image": image, "words": "cat, red"}
    (overlay, mask), shown = comfy.run_node_ui("HRVLens", **asked)
    wanted = comfy.run_node("HRVHeatmap", **asked)
    assert torch.equal(overlay, wanted[0]) and torch.equal(mask, wanted[2])
    (payload,) = shown["hrv_lens"]
    assert len(payload["pictures"]) == len(payload["frames"]) == 2
    assert all(picture["type"] == "temp" for picture in payload["pictures"])
    plain, empty = comfy.run_node("HRVLens", **{**asked, "words": ""})
    assert torch.equal(plain, image) and not empty.any()


def test_text_of_an_untraced_clip_is_read_from_prompt_text(comfy):
    import rig

    studio, text = rig.studio("sdxl"), "two big dogs and a cat"
    positive = rig.encode(rig.clip("sdxl"), text)
    latent = {"samples": rig.sample(studio.recorded, positive, studio.negative)}
    asked = {
        "attention": studio.recording,
        "latent": latent,
        "image": torch.rand(1, 128, 192, 3),
        "words": "big dogs",
    }
    with pytest.raises(ValueError, match="type the prompt into prompt_text"):
        comfy.run_node("HRVLens", **asked)
    (_, mask), shown = comfy.run_node_ui("HRVLens", **asked, prompt_text=text)
    (frame,) = shown["hrv_lens"][0]["frames"]
    assert frame["names"] == ["two", "big", "dogs", "and", "a", "cat", "big dogs"]
    traced = {"samples": rig.sample(studio.recorded, rig.encode(studio.clip, text), studio.negative)}
    (_, expected), _ = comfy.run_node_ui("HRVLens", **{**asked, "latent": traced})
    assert torch.equal(mask, expected) and mask.any()


def test_reading_nodes_tell_the_browser_the_words_of_the_prompt(comfy):
    import rig

    studio = rig.studio("sdxl")
    latent = {"samples": rig.sample(studio.recorded, studio.positive, studio.negative, rig.empty(1))}
    asked = {"attention": studio.recording, "latent": latent}
    names = comfy.run_node_ui("HRVHeatmap", **asked)[1]["hrv_words"]
    assert names == comfy.run_node("HRVHeatmap", **asked)[3], "with no word asked for, every entry is shown"
    assert comfy.run_node_ui("HRVHeatmap", **asked, words=names[1])[1]["hrv_words"] == names
    assert comfy.run_node_ui("HRVAutoHeads", **asked, word=names[1])[1]["hrv_words"] == names


@pytest.fixture(scope="module")
def ran(server):
    """The server, and what the browser got after one run on the demo checkpoint."""

    def node(kind: str, **inputs) -> dict:
        spec = server.get(f"/object_info/{kind}")[kind]["input"].get("required", {})
        options = {name: s[1] for name, s in spec.items() if len(s) > 1}
        return {
            "class_type": kind,
            "inputs": {k: o["default"] for k, o in options.items() if "default" in o} | inputs,
        }

    result = server.run(
        {
            "loader": node("HRVDemoCheckpoint"),
            "record": node("HRVRecordAttention", model=["loader", 0], clip=["loader", 1], time_bins=2),
            "positive": node("CLIPTextEncode", clip=["record", 1], text=PROMPT),
            "negative": node("CLIPTextEncode", clip=["record", 1], text=""),
            "empty": node("EmptyLatentImage", width=128, height=128, batch_size=1),
            "sampler": node(
                "KSampler", model=["record", 0], positive=["positive", 0], negative=["negative", 0],
                latent_image=["empty", 0], sampler_name="euler", scheduler="normal", steps=2, seed=1,
            ),
            "decode": node("VAEDecode", samples=["sampler", 0], vae=["loader", 2]),
            "lens": node("HRVLens", attention=["record", 2], latent=["sampler", 0], image=["decode", 0], words="fish"),
        }
    )  # fmt: skip
    (payload,) = result.outputs["lens"]["hrv_lens"]
    return server, payload


def ask(server, body: bytes, headers=None) -> tuple[int, dict]:
    request = urllib.request.Request(
        f"http://{server.address}/hrv/lens/maps",
        body,
        {"Content-Type": "application/json", **(headers or {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.loads(refusal.read())


def test_the_payload_of_a_run(ran):
    server, payload = ran
    (frame,) = payload["frames"]
    assert frame["names"] == NAMES and frame["bins"] == 2
    assert len(base64.b64decode(frame["maps"])) == len(NAMES) * frame["grid"][0] * frame["grid"][1]
    assert server.view(payload["pictures"][0])[:4] == b"\x89PNG"
    assert len(json.dumps(payload)) < 2**20


def test_the_route_answers_for_one_part_of_the_schedule(ran):
    server, payload = ran
    status, answer = ask(server, json.dumps({"id": payload["id"], "words": [2, 6], "time_bin": 1}).encode())
    assert status == 200 and len(answer["low"]) == 2 and "all" in answer["source"]
    whole = ask(server, json.dumps({"id": payload["id"], "words": [2, 6]}).encode())[1]
    cells = payload["frames"][0]["grid"][0] * payload["frames"][0]["grid"][1]
    given = base64.b64decode(payload["frames"][0]["maps"])
    assert base64.b64decode(whole["maps"]) == given[2 * cells : 3 * cells] + given[6 * cells : 7 * cells]
    assert answer["maps"] != whole["maps"]


def test_what_is_asked_wrongly_is_told_in_plain_words(ran):
    server, payload = ran
    good = {"id": payload["id"], "picture": 0, "words": [0]}
    for change, status, text in [
        ({"id": "0" * 32}, 410, "Run the workflow again"),
        ({"id": "../../etc/passwd"}, 400, "no valid id"),
        ({"words": [99]}, 400, "has 9 entries"),
        ({"words": []}, 400, "1 to 8"),
        ({"picture": 7}, 400, "image 8 was asked for"),
        ({"time_bin": 5}, 400, "keeps fewer parts of the schedule apart (2)"),
        ({"percent": 101}, 400, "between 0 and 100"),
        ({"percent": float("nan")}, 400, "between 0 and 100"),
        ({"concept": "Animals"}, 400, "Connect vectors"),
        ({"concept": "x" * 101}, 400, "at most 100 characters"),
        ({"file": "a"}, 400, "unknown field: 'file'"),
    ]:
        found = ask(server, json.dumps({**good, **change}).encode())
        assert found[0] == status and text in found[1]["error"], (change, found)
    assert ask(server, b"{" + b" " * 20_000)[0] == 413
    assert ask(server, b"[" * 16_000)[0] == 400
    assert ask(server, b"not gzip", {"Content-Encoding": "gzip"})[0] == 400


def test_no_request_makes_the_server_fail(ran):
    server, payload = ran
    rng = random.Random(0)
    values = [
        None, True, False, -1, 0, 1, 3, 8, 10**9, 10**400, 0.5, -0.0, 1e308, float("inf"), float("nan"), "", "x" * 200, "\0",
        "😀", "../..", [], [0], [[0]], [None], [0] * 8, [10**30], {}, {"a": 1}, payload["id"], "f" * 32,
    ]  # fmt: skip
    seen = set()
    for number in range(400):
        fields = {"id": payload["id"], "picture": 0, "words": [0]}
        for name in rng.sample([*fields, "concept", "percent", "time_bin", "other"], rng.randint(1, 4)):
            fields[name] = rng.choice(values)
        body = json.dumps(fields).encode()
        if number % 4 == 3:  # broken in the middle, too
            place = rng.randrange(len(body))
            body = body[:place] + rng.randbytes(rng.randint(0, 4)) + body[place + rng.randint(0, 5) :]
        status, answer = ask(server, body)
        seen.add(status)
        assert status == 200 or (400 <= status < 500 and answer["error"]), (body, status, answer)
    assert {200, 400} <= seen
    assert "could not answer" not in server.log
