"""Models of other shapes and kinds: recorded rightly, or a clear sentence at once and the same picture."""

import dataclasses

import node_helpers
import nodes
import pytest
import rig
import stand_in_models
import stand_ins
import token_rig
import torch
from comfy_extras import nodes_model_advanced
from stand_in_models import ModelType, shaped

from hrv_pack.hrv.heads.known_layouts import SDXL
from hrv_pack.hrv.heads.selection import HeadSelection
from hrv_pack.hrv.relevance.vectors import HeadRelevance

way = pytest.mark.way
UNETS = {
    "SD 2 with v-prediction": (stand_in_models.SD2, "SD20", "BaseModel", ModelType.V_PREDICTION, "sd1"),
    "SDXL refiner": (stand_in_models.REFINER, "SDXLRefiner", "SDXLRefiner", ModelType.EPS, "sdxl"),
    "SSD-1B": (stand_in_models.SSD1B, "SSD1B", "SDXL", ModelType.EPS, "sdxl"),
    "KOALA": (stand_in_models.KOALA, "KOALA_700M", "SDXL", ModelType.EPS, "sdxl"),
    "SDXL with v-prediction (EDM)": (rig.CONFIG["sdxl"], "SDXL", "SDXL", ModelType.V_PREDICTION_EDM, "sdxl"),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=way(name)) for name in UNETS], ids=list(UNETS))
def test_unets(name):
    config, supported, base, kind, clip = UNETS[name]
    studio = rig.studio(clip, model=shaped(config, supported, base, kind))
    stand_ins.right(studio, lambda model: model.clone(), changes=False)
    layout = studio.recording.layout
    layers = [m for n, m in studio.model.model.diffusion_model.named_modules() if n.endswith("attn2")]
    assert len(layout.blocks) == len(layers) > 0
    assert [block.heads for block in layout.blocks] == [layer.heads for layer in layers]


@way("v-prediction by a node (ModelSamplingDiscrete, zero terminal SNR)")
def test_v_prediction_by_a_node():
    def change(model):
        return nodes_model_advanced.ModelSamplingDiscrete().patch(model, "v_prediction", True)[0]

    stand_ins.right(rig.studio(), change)


@way("Inpaint models (9 channels)")
def test_an_inpaint_model():
    studio = rig.studio("sd1", model=shaped(stand_in_models.INPAINT, "SD15", "BaseModel", inpaint=True))
    mask = torch.zeros(1, 1, 128, 192)
    mask[..., 64:] = 1.0
    start = torch.randn(1, 4, 16, 24, generator=torch.Generator().manual_seed(0))
    values = {"concat_latent_image": start, "concat_mask": mask}
    studio = dataclasses.replace(
        studio,
        positive=node_helpers.conditioning_set_values(studio.positive, values),
        negative=node_helpers.conditioning_set_values(studio.negative, values),
    )
    latent = {"samples": start, "noise_mask": mask}
    stand_ins.right(studio, lambda model: model.clone(), changes=False, latent=latent)


CONTROLS = {
    "ControlNet": ("sdxl", stand_in_models.control_net),
    "ControlNet on SD 1": ("sd1", stand_in_models.control_net),
    "T2I-adapter": ("sd1", stand_in_models.t2i_adapter),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=way(name)) for name in CONTROLS], ids=list(CONTROLS)
)
def test_control(name):
    """Its signals are added in the UNet; its own attention is not taken for the UNet's."""
    kind, make = CONTROLS[name]
    studio = rig.studio(kind)
    picture = torch.rand(1, 128, 192, 3, generator=torch.Generator().manual_seed(0))
    control = make(rig.CONFIG[kind])
    positive, negative = nodes.ControlNetApplyAdvanced().apply_controlnet(
        studio.positive, studio.negative, control, picture, 0.8, 0.0, 1.0
    )[:2]
    controlled = dataclasses.replace(studio, positive=positive, negative=negative)
    assert not torch.equal(stand_ins.draw(controlled, studio.model), stand_ins.draw(studio, studio.model))
    stand_ins.right(controlled, lambda model: model.clone(), changes=False)


# -- models whose attention is not reached ----------------------------------------------------------------------------

FLUX = {
    "image_model": "flux", "in_channels": 16, "out_channels": 16, "vec_in_dim": 24, "context_in_dim": 24, "hidden_size": 48,
    "mlp_ratio": 2.0, "num_heads": 2, "depth": 1, "depth_single_blocks": 1, "axes_dim": [8, 8, 8], "theta": 10000,
    "patch_size": 2, "qkv_bias": True, "guidance_embed": True, "txt_ids_dims": [],
}  # fmt: skip
SD3 = {
    "in_channels": 16, "patch_size": 2, "depth": 1, "num_patches": 256, "pos_embed_max_size": 16, "adm_in_channels": 24,
    "pos_embed_scaling_factor": None, "input_size": None,
    "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": 24, "out_features": 64}},
}  # fmt: skip
PIXART = {
    "image_model": "pixart_alpha", "pe_interpolation": 1, "patch_size": 2, "in_channels": 4, "hidden_size": 48, "depth": 1, "num_heads": 2,
    "caption_channels": 24, "model_max_length": 16, "micro_condition": False,
}  # fmt: skip
SVD = {
    **stand_in_models.SD2, "in_channels": 8, "adm_in_channels": 768, "num_classes": "sequential", "use_temporal_attention": True,
    "use_temporal_resblock": True, "extra_ff_mix_layer": True, "use_spatial_context": True, "merge_strategy": "learned_with_images",
    "merge_factor": 0.0, "video_kernel_size": [3, 1, 1],
}  # fmt: skip
OTHERS = {
    "Another transformer (PixArt)": (PIXART, "PixArtAlpha", "PixArt", ModelType.EPS, (1, 4, 40, 40)),
    "Video UNet (SVD)": (SVD, "SVD_img2vid", "SVD_img2vid", ModelType.V_PREDICTION_EDM, (2, 4, 8, 8)),
}
TOKENS = {
    "Flux": (FLUX, "Flux", "Flux", ModelType.FLUX, (1, 16, 8, 8)),
    "Stable Diffusion 3": (SD3, "SD3", "SD3", ModelType.FLOW, (1, 16, 8, 8)),
}


@pytest.fixture
def other(request):
    """(model, conditioning, empty latent) of a model that is no UNet of the usual kind."""
    config, supported, base, kind, shape = (OTHERS | TOKENS)[request.param]
    model = shaped(config, supported, base, kind)
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(1, 16, 24, generator=generator)
    values = {"pooled_output": torch.randn(1, 24, generator=generator), "guidance": 3.5}
    return model, [[embedding, values]], {"samples": torch.zeros(shape)}


@pytest.mark.parametrize(
    "other", [pytest.param(name, marks=way(name, maps="a sentence, and the image")) for name in OTHERS],
    ids=list(OTHERS), indirect=True,
)  # fmt: skip
def test_other_models(comfy, other, caplog):
    """The node says at once what is supported, the picture is the same, and a reader says it again."""
    model, prompt, latent = other
    plain = rig.sample(model, prompt, prompt, latent, cfg=1.0)
    assert plain.isfinite().all() and plain.std() > 0
    recorded, _, recording = comfy.run_node("HRVRecordAttention", model=model, clip=None)
    assert "Supported: Stable Diffusion 1.x, 2.x, SDXL" in caplog.text
    assert torch.equal(rig.sample(recorded, prompt, prompt, latent, cfg=1.0), plain)
    with pytest.raises(ValueError, match="Supported: Stable Diffusion 1.x, 2.x, SDXL"):
        comfy.run_node("HRVHeatmap", attention=recording, latent={"samples": plain})


@way("Attend and Excite and Edit Prompt on Flux", maps="a sentence, and the image")
@pytest.mark.parametrize("other", ["Flux"], indirect=True)
def test_nodes_that_need_a_unet_leave_other_models_alone(comfy, other, caplog):
    """Exciting and editing: a sentence, and the picture as without them."""
    model, prompt, latent = other
    plain = rig.sample(model, prompt, prompt, latent, cfg=1.0)
    remembering, _, source = comfy.run_node("HRVRememberRun", model=model, clip=None)
    graph = {
        "HRVAttendExcite": {"words": "cat"},
        "HRVPromptEdit": {"source": source, "latent": {"samples": plain}},
    }
    assert torch.equal(rig.sample(remembering, prompt, prompt, latent, cfg=1.0), plain)
    for node_id, inputs in graph.items():
        caplog.clear()
        changed = comfy.run_node(node_id, model=model, **inputs)[0]
        assert "This model (Flux) is not a UNet with cross-attention, which this node needs" in caplog.text
        assert caplog.text.count("Supported: Stable Diffusion 1.x, 2.x, SDXL") == 1
        assert torch.equal(rig.sample(changed, prompt, prompt, latent, cfg=1.0), plain)


@pytest.mark.parametrize("other", ["Another transformer (PixArt)"], indirect=True)
def test_steering_leaves_other_models_alone(comfy, other, caplog):
    model, prompt, latent = other
    heads = HeadSelection(SDXL, torch.ones(SDXL.heads))
    changed, _ = comfy.run_node("HRVScaleHeads", model=model, heads=heads)
    assert (
        "The attention of this model (PixArtMS) cannot be steered. Supported: Stable Diffusion" in caplog.text
    )
    plain = rig.sample(model, prompt, prompt, latent, cfg=1.0)
    assert torch.equal(rig.sample(changed, prompt, prompt, latent, cfg=1.0), plain)


def test_vectors_of_a_unet_are_refused_on_a_transformer(comfy):
    """What to do instead: build vectors by agreement."""
    vectors = HeadRelevance.from_votes(
        ("Animals", "Electronics"), torch.ones(2, 1300, dtype=torch.int64), SDXL, {}
    )
    given = {"model": token_rig.tiny("Flux"), "vectors": vectors}
    for node_id, more in {
        "HRVStrengthenConcept": {"concept": "Animals"},
        "HRVAdjustConcept": {"wanted": "Animals", "unwanted": "Electronics"},
    }.items():
        with pytest.raises(
            ValueError, match="1300 heads .SDXL.*has 10.*Nobody has published.*method set to agreement"
        ):
            comfy.run_node(node_id, **given, **more)
