"""Layers that other packs skip, exchange or feed in pairs: maps stay those of the right layer, of the evaluations in which it ran.

Where they cannot be, the reason is said once, and alone. Cases D2, D3 and D6.
"""

import edit_rig
import excite_rig
import models
import pytest
import rig
import stand_in_layers
import stand_ins
import steering_rig as steered
import torch
import torch.nn.functional as F

from hrv_pack.host.facts.layers import layout_of, layout_of_model
from hrv_pack.host.follow.steerer import steer
from hrv_pack.hrv.look.heatmap import heatmaps
from hrv_pack.hrv.maps.word_maps import Target, word_maps
from hrv_pack.hrv.recording.recording import Match, NoRecording

way = pytest.mark.way
SEVENTH = "diffusion_model.input_blocks.7.1"  # two transformers


@pytest.fixture
def studio():
    """With a network of its own: what is left on it hurts nobody."""
    return rig.studio(model=models.random_model(rig.CONFIG["sdxl"]))


# -- layers that are skipped ----------------------------------------------------------------------------------------


def plain_map(calls, layout, embedding, column: int, grid) -> torch.Tensor:
    """The mean over heads of max(0, bicubic(mean P)), each layer over the calls in which it ran."""
    heads = []
    for number, block in enumerate(layout.blocks):
        ran = [call for call in calls if block.key in call.keys]
        mean = rig.expected(ran, layout, embedding, [column])[number][0, :, 0] / len(ran)  # (head, pixel)
        own = next(g for g in ((8, 12), (4, 6)) if g[0] * g[1] == mean.shape[-1])
        large = F.interpolate(mean.unflatten(-1, own)[None], grid, mode="bicubic", align_corners=False)[0]
        heads.append(large.clamp(min=0))
    return torch.cat(heads).mean(0).float()


@way("Caches that skip layers (first-block cache)")
def test_a_cache_that_skips_layers(studio):
    """Case D2: each layer is divided by the evaluations in which it ran."""
    for recording, calls in stand_ins.both_orders(studio, stand_in_layers.cached_layers, steps=5):
        run = rig.last_run(recording)
        (found,) = run.of_role("positive")
        ran = {found.count(block=number) for number in range(1, len(run.layout.blocks))}
        assert (found.count(), found.count(block=0), ran) == (5, 5, {2}) and run.warnings == []
        rig.assert_maps(found, calls, run.layout, studio.positive[0][0], tolerance=5e-3)
        (column,) = studio.positive[0][1]["hrv_prompt"].find("cat").columns
        match = Match(run, 0, True)
        wanted = plain_map(calls, run.layout, studio.positive[0][0], column, run.grid)
        assert torch.allclose(word_maps(match, [Target(((found, (column,)),))])[0], wanted, atol=2e-4)


def test_where_nothing_is_skipped_nothing_is_counted_by_layer(studio):
    latent = stand_ins.draw(studio, studio.recorded)
    assert torch.equal(latent, stand_ins.draw(studio, studio.model))
    assert rig.entry(studio.recording).layer_counts == {}


# -- layers that are exchanged --------------------------------------------------------------------------------------

EXCHANGED = {
    "one layer": lambda model: stand_in_layers.exchanged(model, stand_in_layers.SubTransformer, [SEVENTH]),
    "all layers": lambda model: stand_in_layers.exchanged(
        model, stand_in_layers.SubTransformer, stand_in_layers.places(model, "transformer_blocks")
    ),
    "the UNet": lambda model: stand_in_layers.exchanged(model, stand_in_layers.SubUNet, ["diffusion_model"]),
    "the UNet, by a class of its own": lambda model: stand_in_layers.exchanged(
        model, stand_in_layers.OtherUNet, ["diffusion_model"]
    ),
}
exchanges = pytest.mark.parametrize("change", EXCHANGED.values(), ids=list(EXCHANGED))


def is_plain(model) -> bool:
    """Whether no other class lies on the network now."""
    own = (stand_in_layers.SubTransformer, stand_in_layers.SubUNet, stand_in_layers.OtherUNet)
    return not any(isinstance(module, own) for module in model.model.diffusion_model.modules())


@way("Classes of layers or of the UNet exchanged by object patches")
@exchanges
def test_exchanged_classes(studio, change):
    """Case D3: the maps are those of the right layers; and so with the plain model, while the other clone's classes still lie
    on the network that both share."""
    stand_ins.right(studio, change, changes=False)
    assert not is_plain(studio.model)
    again, _, recording = rig.attach(studio.model, None, rig.RecordOptions())
    assert recording.layout == studio.recording.layout
    with rig.watch(studio.model) as calls:
        latent = stand_ins.draw(studio, again)
    assert is_plain(studio.model) and torch.equal(latent, stand_ins.draw(studio, studio.model))
    rig.assert_maps(rig.entry(recording), calls, recording.layout, studio.positive[0][0], tolerance=2e-3)


@exchanges
def test_exchanged_classes_with_steering(studio, change):
    """Case D3: each head's factor reaches that head."""
    steering = steered.scaling(studio.recording.layout)
    for model in (
        steer(change(studio.model), None, steering)[0],
        change(steer(studio.model, None, steering)[0]),
    ):
        with rig.watch(studio.model) as calls:
            steered.draw(model, studio)
        columns = steered.columns_of(steering, studio.positive[0][1]["hrv_prompt"])
        parts = [(studio.positive[0][0], columns)]
        assert steered.assert_steered(calls, studio.recording.layout, parts) == 2


@exchanges
def test_exchanged_classes_with_editing_and_exciting(change):
    """Case D3: these classes do what the host's do, so the pictures are those of the plain model."""
    plain = edit_rig.scene(model=models.random_model(rig.CONFIG["sdxl"]))
    other = edit_rig.scene(model=change(plain.model))
    assert torch.equal(other.latent, plain.latent)
    assert torch.equal(other.draw(other.edited()), plain.draw(plain.edited()))
    assert torch.equal(plain.draw(change(plain.edited())), plain.draw(plain.edited()))
    excited = [plain.draw(excite_rig.excited(model), plain.first) for model in (other.model, plain.model)]
    assert torch.equal(*excited) and not torch.equal(excited[1], plain.draw(plain.model, plain.first))


@way("Another pack's module in a layer's place", maps="of the other layers, one warning")
def test_a_module_in_the_place_of_a_layer(studio):
    """Case D3: something that never comes by our entry. Heads keep their numbers, the other layers their maps."""

    def change(model):
        return stand_in_layers.put_in_place(model, SEVENTH, stand_in_layers.Dimmer())

    layout = studio.recording.layout
    left_out = {number for number, block in enumerate(layout.blocks) if block.key[:2] == ("input", 7)}
    for recording, calls in stand_ins.both_orders(studio, change):
        run = rig.last_run(recording)
        assert run.layout == recording.layout == layout
        (warning,) = run.warnings
        assert warning.startswith(
            f"2 of {len(layout.blocks)} layers were not recorded, because another pack runs"
        )
        (found,) = run.of_role("positive")
        others = set(range(len(layout.blocks))) - left_out
        rig.assert_maps(found, calls, layout, studio.positive[0][0], tolerance=2e-3, layers=others)


def test_a_module_that_another_clone_left_behind(studio):
    """Case D3: it lies on the shared network when our nodes run, and does not count."""
    layout = studio.recording.layout
    strange = stand_in_layers.put_in_place(studio.model, SEVENTH, stand_in_layers.Dimmer())
    compiled = stand_in_layers.put_in_place(
        studio.model, "diffusion_model.middle_block", torch.compile(studio.model.model.diffusion_model.middle_block)
    )  # fmt: skip
    steering = steered.scaling(layout)
    for other in (strange, compiled):
        with rig.watch(studio.model) as calls:
            other.patch_model(
                load_weights=False
            )  # as the host does before it samples; it takes that back before the next
            assert layout_of(studio.model.model.diffusion_model) != layout or other is compiled
            again, _, recording = rig.attach(studio.model, None, rig.RecordOptions())
            assert recording.layout == layout == layout_of_model(studio.model)
            both, _ = steer(again, None, steering)
            latent = steered.draw(both, studio)
        run = rig.last_run(recording)
        assert run.layout == layout and run.warnings == []
        assert torch.equal(latent, steered.draw(steer(studio.model, None, steering)[0], studio))
        rig.assert_maps(rig.entry(recording), calls, layout, studio.positive[0][0], tolerance=2e-3)
    assert layout_of_model(strange) == layout  # heads keep their numbers


@way("Own class of the transformers that looks at no replacement", maps="one warning")
def test_all_layers_run_another_way(studio):
    """Cases D3 and D6."""

    def change(model):
        paths = stand_in_layers.places(model, "attn2")
        return stand_in_layers.exchanged(model, stand_in_layers.OwnWayBlock, paths)

    layers = len(studio.recording.layout.blocks)
    stand_ins.one_warning(studio, change, f"it runs all {layers} layers in its own way")


def test_steering_says_which_layers_it_did_not_reach(studio, caplog):
    model, _ = steer(studio.model, None, steered.scaling(studio.recording.layout))
    steered.draw(stand_in_layers.put_in_place(model, SEVENTH, stand_in_layers.Dimmer()), studio)
    (warning,) = [record.message for record in caplog.records if "[HRV]" in record.message]
    assert "2 of 17 layers were not steered, because another pack runs them in its own way" in warning


# -- nothing left ---------------------------------------------------------------------------------------------------


def doubled_rows(model):
    """Like attention couple."""
    clone = model.clone()
    clone.set_model_attn2_patch(lambda n, *more: tuple(t.repeat(2, 1, 1) for t in (n, *more[:2])))
    clone.set_model_attn2_output_patch(lambda n, extra: n.chunk(2)[0])
    return clone


@way("All layers left out", maps="none, and the reader is told why and nothing else")
def test_the_reader_gets_the_true_reason_alone(studio):
    """Case D6: nothing about the sampler's inputs, which are connected."""
    latent = stand_ins.draw(studio, doubled_rows(studio.recorded))
    assert torch.equal(latent, stand_ins.draw(studio, doubled_rows(studio.model)))
    (warning,) = rig.last_run(studio.recording).warnings
    assert (
        warning.startswith("Another node changes rows, pixels or tokens inside the model")
        and "had 4 ×" in warning
    )
    with pytest.raises(NoRecording) as refusal:
        heatmaps(studio.recording, latent, "cat")
    assert str(refusal.value) == warning
