"""The demo model's training can go on from a finished checkpoint."""

import comfy.ldm.modules.attention
import torch
from safetensors.torch import load_file

from hrv_pack.tools.train_demo import crew, export, networks, settings, train_unet


def test_a_checkpoint_that_is_read_and_written_again_is_the_same(tmp_path, monkeypatch):
    # training exchanges this for the whole process
    monkeypatch.setattr(comfy.ldm.modules.attention, "optimized_attention", networks.plain_attention)
    train_unet.begin_from(settings.CHECKPOINT, tmp_path)
    state = load_file(tmp_path / train_unet.STATE)
    tokens = networks.Tokens()
    model = networks.DemoModel(tokens)
    crew.flatten(model, torch.zeros_like(state["weights"]))  # other weights than the checkpoint's
    again = tmp_path / "again.safetensors"
    export.write_checkpoint(
        again, tmp_path / "vae.safetensors", model, tokens, state["ema"], int(state["step"])
    )
    shipped, written = load_file(settings.CHECKPOINT), load_file(again)
    assert shipped.keys() == written.keys()
    assert all(torch.equal(tensor, written[name]) for name, tensor in shipped.items())
