"""Networks of other shapes than SD 1 and SDXL, LoRAs, ControlNets and adapters for them, small and with random weights."""

from __future__ import annotations

import comfy.model_base
import comfy.model_patcher
import comfy.supported_models
import models
import torch

ModelType = comfy.model_base.ModelType
SD2 = {**models.TINY_SD1, "use_linear_in_transformer": True, "num_heads": -1, "num_head_channels": 8}
REFINER = {
    **models.TINY_SDXL, "num_res_blocks": [2, 2, 2, 2], "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [0, 0, 1, 1, 1, 1, 0, 0], "transformer_depth_middle": 1,
    "transformer_depth_output": [0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0], "adm_in_channels": 5 * 256 + 24,
}  # fmt: skip
SSD1B = {
    **models.TINY_SDXL, "transformer_depth": [0, 0, 1, 1, 2, 2], "transformer_depth_middle": -1,
    "transformer_depth_output": [0, 0, 0, 1, 1, 2, 3, 2, 2],
}  # fmt: skip
KOALA = {
    **models.TINY_SDXL, "num_res_blocks": [1, 1, 1], "transformer_depth": [0, 1, 2], "transformer_depth_middle": -2,
    "transformer_depth_output": [0, 0, 1, 1, 2, 2],
}  # fmt: skip
INPAINT = {**models.TINY_SD1, "in_channels": 9}


def shaped(
    config: dict, supported: str, base: str, kind=ModelType.EPS, *, inpaint: bool = False,
    dtype: torch.dtype = torch.float32, shared: bool = False,
):  # fmt: skip
    """A ModelPatcher of ComfyUI's own classes (names of comfy.supported_models and comfy.model_base), random weights. shared: as
    `models.fill` says."""
    model_config = getattr(comfy.supported_models, supported)(config)
    model_config.unet_config.update(config)
    model_config.set_inference_dtype(dtype, None)
    device = torch.device("cpu")
    model = getattr(comfy.model_base, base)(model_config, kind, device=device)
    if inpaint:
        model.set_inpaint()
    models.fill(model.diffusion_model, 0, shared)
    for name, buffer in model.diffusion_model.named_buffers():
        if name == "pos_embed":  # SD3's, which a checkpoint would fill; else it is whatever the memory held
            buffer.normal_(generator=torch.Generator().manual_seed(0))
    model.eval()
    return models.patcher_of(model)


def random_lora(model, names=("attn2.to_q.weight", "attn2.to_k.weight", "attn1.to_v.weight")) -> dict:
    """A LoRA file's tensors for these layers of the UNet."""
    generator, lora = torch.Generator().manual_seed(1), {}
    for key, weight in model.model.state_dict().items():
        if not key.endswith(names):
            continue
        name = "lora_unet_" + key.removeprefix("diffusion_model.").removesuffix(".weight").replace(".", "_")
        lora[f"{name}.lora_up.weight"] = torch.randn(weight.shape[0], 2, generator=generator)
        lora[f"{name}.lora_down.weight"] = torch.randn(2, weight.shape[1], generator=generator)
    return lora


def control_net(config: dict):
    """A ControlNet of this UNet's shape."""
    import comfy.cldm.cldm
    import comfy.controlnet

    own = {
        key: value for key, value in config.items() if key not in ("out_channels", "transformer_depth_output")
    }
    net = comfy.cldm.cldm.ControlNet(hint_channels=3, dtype=torch.float32, device=torch.device("cpu"), **own)
    models.fill(net, 3)
    return comfy.controlnet.ControlNet(net.eval(), load_device=torch.device("cpu"))


def flux_control_net(config: dict):
    """A ControlNet of this Flux's shape."""
    import comfy.controlnet
    import comfy.model_management
    import comfy.ops
    from comfy.ldm.flux.controlnet import ControlNetFlux

    net = ControlNetFlux(
        **config, operations=comfy.ops.disable_weight_init, dtype=torch.float32, device=torch.device("cpu")
    )
    models.fill(net, 3)
    device = comfy.model_management.get_torch_device()
    return comfy.controlnet.ControlNet(net.eval(), load_device=device, extra_conds=["y", "guidance"])


def t2i_adapter(config: dict):
    """A light T2I-adapter of this UNet's shape."""
    import comfy.controlnet
    import comfy.t2i_adapter.adapter

    channels = [config["model_channels"] * factor for factor in config["channel_mult"]]
    adapter = comfy.t2i_adapter.adapter.Adapter_light(channels=channels, nums_rb=1, cin=3 * 64)
    models.fill(adapter, 4)
    return comfy.controlnet.T2IAdapter(adapter.eval(), 3, 8, "nearest-exact", device=torch.device("cpu"))
