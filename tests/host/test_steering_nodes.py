"""The steering nodes and the sweep as ComfyUI runs them: in process, and as a graph in a server on the demo checkpoint."""

import pytest
import torch

LAST = {"start_percent": 0.0, "end_percent": 1.0}


@pytest.fixture(scope="module")
def steered(comfy):
    import steering_rig

    return steering_rig


@pytest.fixture(scope="module", params=["sd1", "sdxl"])
def studio(rig, request):
    return rig.studio(request.param)


def test_the_contract_of_the_graph(comfy):
    def ports(node_id):
        schema = comfy.node_class(node_id).GET_SCHEMA()
        return [i.id for i in schema.inputs], [o.io_type for o in schema.outputs]

    last = ["start_percent", "end_percent", "clip", "record_steered"]
    assert ports("HRVStrengthenConcept") == (
        ["model", "vectors", "concept", "words", "strength", "clamp", *last], ["MODEL", "CLIP"],
    )  # fmt: skip
    assert ports("HRVAdjustConcept") == (
        ["model", "vectors", "wanted", "unwanted", "words", "strength", "clamp", *last], ["MODEL", "CLIP"],
    )  # fmt: skip
    assert ports("HRVScaleHeads") == (["model", "heads", "words", "factor", *last], ["MODEL", "CLIP"])
    for node in ("HRVStrengthenConcept", "HRVAdjustConcept"):
        required = comfy.node_class(node).INPUT_TYPES()["required"]
        defaults = {name: required[name][1]["default"] for name in ("strength", "clamp", *LAST)}
        assert defaults == {"strength": 1.0, "clamp": 0.0, **LAST}
    required = comfy.node_class("HRVScaleHeads").INPUT_TYPES()["required"]
    assert required["factor"][1]["default"] == -2.0


def test_nodes_do_what_their_formulas_say(comfy, rig, steered, studio):
    """Each node's model gives the latent of the same steering set up by hand."""
    from hrv_pack.host.follow.steerer import steer
    from hrv_pack.hrv.steer.factors import Where, adjust, scale, strengthen

    layout = studio.recording.layout
    vectors, heads = steered.vectors_for(layout), steered.some_heads(layout)
    cases = [
        ("HRVStrengthenConcept", {"vectors": vectors, "concept": "color", "words": "red", "strength": 0.5},
         strengthen(vectors, "Color", 0.5, 0.0, Where("red"))),
        ("HRVAdjustConcept", {"vectors": vectors, "wanted": "Size", "unwanted": "Animals", "words": "cat", "clamp": 1.2},
         adjust(vectors, "Size", "Animals", strength=1.0, clamp=1.2, where=Where("cat"))),
        ("HRVScaleHeads", {"heads": heads, "end_percent": 0.5}, scale(heads, -2.0, Where("", 0.0, 0.5))),
    ]  # fmt: skip
    for node, inputs, steering in cases:
        model, clip = comfy.run_node(node, model=studio.model, **inputs)
        assert clip is None
        expected, _ = steer(studio.model, None, steering)
        latent = steered.draw(model, studio)
        assert torch.equal(latent, steered.draw(expected, studio)), node
        assert not torch.equal(latent, steered.draw(studio.model, studio)), node
        model, clip = comfy.run_node(node, model=studio.model, clip=rig.clip("sdxl"), **inputs)
        assert "hrv_prompt" in rig.encode(clip, "a cat")[0][1]


def test_mistakes_are_told_when_the_node_runs(comfy, steered, studio):
    from hrv_pack.hrv.heads.known_layouts import SD1, SDXL

    model, heads = studio.model, studio.recording.layout.heads
    for layout in (SD1, SDXL):
        if layout == studio.recording.layout:
            continue
        vectors = steered.vectors_for(layout)
        with pytest.raises(
            ValueError, match=f"These vectors are for {layout.heads} heads.*this model has {heads}"
        ):
            comfy.run_node("HRVStrengthenConcept", model=model, vectors=vectors, concept="Color")
        with pytest.raises(ValueError, match=f"for {layout.heads} heads"):
            comfy.run_node("HRVAdjustConcept", model=model, vectors=vectors, wanted="Color", unwanted="Size")
        with pytest.raises(ValueError, match=f"a model with {layout.heads} heads; this model has {heads}"):
            comfy.run_node("HRVScaleHeads", model=model, heads=steered.some_heads(layout))
    vectors = steered.vectors_for(studio.recording.layout)
    with pytest.raises(ValueError, match="no concept “Colour”. Did you mean “Color”"):
        comfy.run_node("HRVStrengthenConcept", model=model, vectors=vectors, concept="Colour")
    with pytest.raises(ValueError, match="Adjust Concept would do nothing: start_percent"):
        comfy.run_node(
            "HRVAdjustConcept",
            model=model,
            vectors=vectors,
            wanted="Color",
            unwanted="Size",
            start_percent=1.0,
        )


def test_a_sweep_in_process(comfy, rig, steered, studio):
    """No heads is the unsteered picture, all heads the same picture in both orders."""
    layout = studio.recording.layout
    heads, counts, orders = comfy.run_node(
        "HRVHeadSweep", vectors=steered.vectors_for(layout), concept="Color", points=3
    )
    assert counts == [0, layout.heads // 2, layout.heads] * 2
    latents = []
    for choice in heads:
        model, _ = comfy.run_node("HRVScaleHeads", model=studio.model, heads=choice, words="red")
        latents.append(steered.draw(model, studio, steps=1))
    assert torch.equal(latents[0], latents[3]) and torch.equal(latents[2], latents[5])
    assert torch.equal(latents[0], steered.draw(studio.model, studio, steps=1))
    assert not torch.equal(latents[1], latents[4])


@pytest.fixture
def demo_vectors(server):
    """Made-up vectors for the demo checkpoint, in the server's models/hrv."""
    from hrv_pack.host.facts.layers import layout_of
    from hrv_pack.host.store.demo_checkpoint import load
    from hrv_pack.hrv.files.vector_files import write
    from hrv_pack.hrv.relevance.vectors import HeadRelevance

    model, _, _ = load()
    layout = layout_of(model.model.diffusion_model)
    votes = torch.randint(1, 50, (2, layout.heads), generator=torch.Generator().manual_seed(0))
    path = server.base / "models" / "hrv" / "made_up.safetensors"
    write(path, HeadRelevance.from_votes(("Colours", "Objects"), votes, layout, {}))
    yield path.name
    path.unlink()


def test_a_sweep_as_a_graph(server, demo_vectors):
    """Every node behind the sweep runs once for each entry, the curve once for all."""

    def node(class_type, **inputs):
        return {"class_type": class_type, "inputs": inputs}

    graph = {
        "checkpoint": node("HRVDemoCheckpoint"),
        "record": node(
            "HRVRecordAttention", model=["checkpoint", 0], clip=["checkpoint", 1], time_bins=1, negative=False,
            memory_limit_mb=64, **LAST,
        ),
        "vectors": node("HRVLoadVectors", name=demo_vectors),
        "sweep": node("HRVHeadSweep", vectors=["vectors", 0], concept="Colours", points=3, order="both"),
        "scale": node("HRVScaleHeads", model=["checkpoint", 0], heads=["sweep", 0], words="red", factor=-2.0, **LAST),
        "positive": node("CLIPTextEncode", clip=["record", 1], text="a red star on sand"),
        "negative": node("CLIPTextEncode", clip=["record", 1], text=""),
        "empty": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "sampler": node(
            "KSampler", model=["scale", 0], positive=["positive", 0], negative=["negative", 0],
            latent_image=["empty", 0], seed=1, steps=1, cfg=4.0, sampler_name="euler", scheduler="normal", denoise=1.0,
        ),
        "decode": node("VAEDecode", samples=["sampler", 0], vae=["checkpoint", 2]),
        "curve": node(
            "HRVWeakeningCurve", count=["sweep", 1], order=["sweep", 2], image=["decode", 0], title="red, weakened"
        ),
        "strip": node("PreviewImage", images=["curve", 1]),
    }  # fmt: skip
    logged = len(server.log)
    result = server.run(graph)
    assert len(result.images["curve"]) == len(result.images["strip"]) == 1
    assert "[HRV]" not in server.log[logged:]
