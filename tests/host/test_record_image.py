"""X-Ray an Image in the real host: recorded like a run, the latent untouched, and the demo model finds things in a rendered image."""

import pytest
import torch


@pytest.fixture(scope="module")
def studio(rig):
    return rig.studio("sdxl", "a red cat and a dog")


def latent(seed=0, batch=1):
    return {"samples": torch.randn(batch, 4, 16, 24, generator=torch.Generator().manual_seed(seed))}


def test_the_contract_of_the_graph(comfy):
    schema = comfy.node_class("HRVRecordImage").GET_SCHEMA()
    assert [(i.id, i.get_io_type(), getattr(i, "default", None)) for i in schema.inputs] == [
        ("model", "MODEL", None),
        ("positive", "CONDITIONING", None),
        ("latent", "LATENT", None),
        ("moments", "INT", 5),
        ("seed", "INT", 0),
        ("clip", "CLIP", None),
        ("also_look_for", "STRING", ""),
    ]
    assert [(o.display_name, o.get_io_type()) for o in schema.outputs] == [
        ("attention", "HRV_ATTENTION"),
        ("latent", "LATENT"),
    ]


def test_each_level_is_evaluated_once_and_the_latent_is_that_of_the_run(comfy, studio):
    given = latent(batch=2)
    before = given["samples"].clone()
    recording, out = comfy.run_node(
        "HRVRecordImage", model=studio.model, positive=studio.positive, latent=given, moments=3
    )
    assert torch.equal(out["samples"], before)
    matches = recording.match(out["samples"])
    assert [match.element for match in matches] == [0, 1] and all(match.exact for match in matches)
    (entry,) = matches[0].run.entries
    assert entry.role == "positive" and entry.count() == 3 and entry.batch == 2
    heat = comfy.run_node("HRVHeatmap", attention=recording, latent=out, words="cat", caption=False)[1]
    assert heat.shape == (2, 128, 192) and float(heat.max()) > 0


def test_the_seed_decides_the_noise(comfy, studio):
    def maps(seed):
        recording, _ = comfy.run_node(
            "HRVRecordImage",
            model=studio.model,
            positive=studio.positive,
            latent=latent(),
            moments=1,
            seed=seed,
        )
        return recording.runs[0].entries[0].maps

    one, same, other = maps(1), maps(1), maps(2)
    assert all(torch.equal(one[block], same[block]) for block in one)
    assert any(not torch.equal(one[block], other[block]) for block in one)


def test_the_demo_model_finds_things_in_a_rendered_image(comfy):
    import nodes
    import numpy as np

    from hrv_pack.hrv.relevance.heads_for_word import choose_heads
    from hrv_pack.tools.train_demo.draw import render
    from hrv_pack.tools.train_demo.world import full_caption, sample_scene

    model, clip, vae = comfy.run_node("HRVDemoCheckpoint")
    _, clip, _ = comfy.run_node("HRVRecordAttention", model=model, clip=clip)
    rng, found = np.random.default_rng(3), []
    for number in range(2):
        scene = sample_scene(rng)
        picture, masks = render(scene)
        image = torch.from_numpy(picture)[None].float() / 255
        with torch.inference_mode():
            encoded = nodes.VAEEncode().encode(vae, image)[0]
            positive = nodes.CLIPTextEncode().encode(clip, full_caption(scene))[0]
        recording, out = comfy.run_node(
            "HRVRecordImage", model=model, positive=positive, latent=encoded, seed=number
        )
        word = full_caption(scene).split()[4] + "#1"
        heads = choose_heads(recording.match(out["samples"]), word, 23.0).heads
        mask = comfy.run_node(
            "HRVHeatmap", attention=recording, latent=out, image=image, words=word, heads=heads
        )[2][0]
        truth = torch.from_numpy(masks[0])
        found.append(float(((mask > 0) & truth).sum() / ((mask > 0) | truth).sum()))
    assert min(found) > 0.45
