"""The layouts written out in the pack are those of the host's own full-size networks."""

import comfy.ops
import models
import pytest
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

from hrv_pack.hrv.heads.known_layouts import SD1, SDXL


@pytest.mark.parametrize(("config", "layout"), [(models.SD1, SD1), (models.SDXL, SDXL)], ids=["SD1", "SDXL"])
def test_known_layouts_are_the_hosts(config, layout):
    from hrv_pack.host.facts.layers import layout_of

    config = {key: list(value) if isinstance(value, list) else value for key, value in config.items()}
    network = UNetModel(
        **config, device="meta", operations=comfy.ops.disable_weight_init
    )  # shapes without weights
    assert layout_of(network) == layout
