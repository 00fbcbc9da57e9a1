"""Select and filter heads in the real host, in process and over HTTP."""

import math

import pytest
import torch


@pytest.fixture(scope="module", params=["sd1", "sdxl"])
def sampled(rig, request):
    """A studio whose recorder has seen one sampling, and that latent."""
    return rig.studio(request.param, "a red cat").sample()


def vectors_for(layout, seed: int = 0):
    from hrv_pack.hrv.relevance.vectors import HeadRelevance

    votes = torch.randint(0, 50, (3, layout.heads), generator=torch.Generator().manual_seed(seed))
    return HeadRelevance.from_votes(("Animals", "Color", "My own concept"), votes, layout, {})


def test_the_contract_of_the_graph(comfy):
    def ports(node_id):
        schema = comfy.node_class(node_id).GET_SCHEMA()
        assert all(port.tooltip for port in (*schema.inputs, *schema.outputs)) and schema.description
        return [i.id for i in schema.inputs], [(o.display_name, o.io_type) for o in schema.outputs]

    assert ports("HRVLoadVectors") == (["name"], [("vectors", "HRV_VECTORS"), ("summary", "STRING")])
    assert ports("HRVSelectHeads") == (
        ["vectors", "concept", "percent", "order", "weighting"],
        [("heads", "HRV_HEADS"), ("chart", "IMAGE")],
    )
    inputs, outputs = ports("HRVFilterHeads")
    assert inputs[:5] == ["heads", "attention", "part", "grid", "indices"]
    assert outputs == [("heads", "HRV_HEADS")]
    assert ports("HRVSaveVectors") == (["vectors", "filename_prefix"], [("path", "STRING")])
    assert ports("HRVMergeVectors") == (["vectors_a", "vectors_b"], [("vectors", "HRV_VECTORS")])
    required = comfy.node_class("HRVSelectHeads").INPUT_TYPES()["required"]
    assert required["percent"][1]["default"] == 23.0
    assert required["order"][1]["options"] == ["most relevant", "least relevant"]
    assert required["weighting"][1]["options"] == ["equal", "relevance", "balanced"]
    assert required["concept"][1]["options"][:2] == ["Animals", "Plants"]


def test_selected_heads_give_the_heatmap_of_just_those_heads(comfy, sampled):
    layout = sampled.recording.layout
    (heads, chart), shown = comfy.run_node_ui(
        "HRVSelectHeads", vectors=vectors_for(layout), concept="color", percent=5.0
    )
    assert chart.ndim == 4 and chart.shape[0] == 1 and len(shown["images"]) == 1
    chosen = heads.weights.nonzero().flatten().tolist()
    assert len(chosen) == math.ceil(layout.heads * 0.05)

    def heat(heads):
        _, heat, _, _ = comfy.run_node(
            "HRVHeatmap",
            attention=sampled.recording,
            latent=sampled.latent,
            words="cat",
            heads=heads,
            maps="all heads (DAAM)",
        )
        return heat

    (same,) = comfy.run_node(
        "HRVFilterHeads", attention=sampled.recording, indices=", ".join(map(str, chosen))
    )
    assert torch.equal(heat(heads), heat(same)) and not torch.equal(heat(heads), heat(None))
    (every,) = comfy.run_node("HRVFilterHeads", attention=sampled.recording)
    assert torch.equal(heat(every), heat(None))


def test_balanced_heads_give_a_word_a_map_of_its_own_and_the_picture_says_so(comfy, sampled):
    def heatmap(weighting):
        heads, _ = comfy.run_node(
            "HRVSelectHeads",
            vectors=vectors_for(sampled.recording.layout), concept="color", percent=23.0, weighting=weighting,
        )  # fmt: skip
        (narrowed,) = comfy.run_node("HRVFilterHeads", heads=heads, attention=sampled.recording)
        outputs, shown = comfy.run_node_ui(
            "HRVHeatmap",
            attention=sampled.recording, latent=sampled.latent, words="cat", heads=narrowed, normalize="per word",
        )  # fmt: skip
        return outputs[1], shown["text"][0]

    balanced, said = heatmap("balanced")
    assert "Color, most relevant 23 %, balanced" in said
    assert not torch.equal(balanced, heatmap("equal")[0])
    assert torch.isfinite(balanced).all() and balanced.max() > 0.9


def test_filter_by_part_grid_and_numbers(comfy, sampled):
    recording = sampled.recording
    layout = recording.layout
    (middle,) = comfy.run_node("HRVFilterHeads", attention=recording, part="middle")
    assert all(
        bool(middle.weights[layout.span(n)].all()) == (block.part == "middle")
        for n, block in enumerate(layout.blocks)
    )
    (first,) = comfy.run_node("HRVFilterHeads", attention=recording, indices="0-3")
    assert first.weights.nonzero().flatten().tolist() == [0, 1, 2, 3]
    (both,), shown = comfy.run_node_ui(
        "HRVFilterHeads", heads=middle, attention=recording, other=first, combine="in either"
    )
    assert both.weights.sum() == middle.weights.sum() + 4 and "heads, in" in shown["text"][0]


def test_largest_grid_is_what_the_recording_measured(comfy, sampled):
    run = sampled.recording.runs[-1]
    maps = run.entries[0].maps
    (largest,) = comfy.run_node("HRVFilterHeads", attention=sampled.recording, grid="largest")
    for number in range(len(run.layout.blocks)):
        measured = tuple(maps[number].shape[-2:]) == run.grid
        assert bool(largest.weights[run.layout.span(number)].all()) == measured, run.layout.blocks[number]


def test_errors_say_what_to_do(comfy, sampled):
    with pytest.raises(ValueError, match="no concept “Animal”.*They have: Animals, Color, My own concept"):
        comfy.run_node("HRVSelectHeads", vectors=vectors_for(sampled.recording.layout), concept="Animal")
    with pytest.raises(ValueError, match="nothing to start from. Connect heads, or attention"):
        comfy.run_node("HRVFilterHeads")
    from hrv_pack.hrv.heads.known_layouts import SD1

    heads, _ = comfy.run_node("HRVSelectHeads", vectors=vectors_for(SD1), concept="Animals")
    if sampled.recording.layout != SD1:
        with pytest.raises(ValueError, match="chosen for a model with 128 heads"):
            comfy.run_node("HRVFilterHeads", heads=heads, attention=sampled.recording)


def graph(concept: str, name: str) -> dict:
    return {
        "1": {"class_type": "HRVLoadVectors", "inputs": {"name": name}},
        "2": {
            "class_type": "HRVSelectHeads",
            "inputs": {
                "vectors": ["1", 0],
                "concept": concept,
                "percent": 23.0,
                "order": "most relevant",
                "weighting": "equal",
            },
        },
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 1]}},
    }


def test_over_http_a_concept_of_ones_own_vectors_can_be_named(server):
    from devtools.server import ComfyError
    from hrv_pack.hrv.files.vector_files import write
    from hrv_pack.hrv.heads.known_layouts import SD1

    path = server.base / "models" / "hrv" / "mine.safetensors"
    write(path, vectors_for(SD1))
    try:
        options = server.get("/object_info/HRVSelectHeads")["HRVSelectHeads"]["input"]["required"]["concept"][
            1
        ]["options"]
        assert "My own concept" in options and "Brand Logos" in options
        result = server.run(graph("my own concept", "mine.safetensors"))
        assert len(result.images["3"]) == 1
        with pytest.raises(ComfyError, match="They have: Animals, Color, My own concept"):
            server.run(graph("Elephants", "mine.safetensors"))
        with pytest.raises(ComfyError):
            server.run(graph("Animals", "../../../etc/passwd"))
    finally:
        path.unlink()
