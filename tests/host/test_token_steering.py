"""Steering transformers: the image reads P · r · V, the text and all other rows what they did, to the bit."""

import comfy.model_management
import comfy.sample
import nodes
import pytest
import steering_rig as steered
import token_rig
import torch
from token_rig import SHAPES, draw, empty, heard, prompt, tiny, worded

from hrv_pack.host.facts.families import followed_layout_of
from hrv_pack.host.follow.base import following_tokens
from hrv_pack.host.follow.recorder import RecordOptions, attach
from hrv_pack.host.follow.steerer import steer
from hrv_pack.hrv.steer.factors import scale

FAMILIES = token_rig.known()
STAR = (3, 4)


def layout_of(family: str):
    return followed_layout_of(tiny(family), "steered")


def scaling(family: str, words: str = "star", factor: float = -2.0, **when):
    return steered.scaling(layout_of(family), words, factor, **when)


def columns(family: str, factors: dict[int, torch.Tensor], tokens: int = 9) -> torch.Tensor:
    """(text column, head of the model), where the model fills a short text up in front."""
    filled = max(tokens, SHAPES[family].fills)
    table = torch.ones(filled, layout_of(family).heads)
    for column, one in factors.items():
        table[column + SHAPES[family].first(tokens)] = one
    return table


def assert_steered(calls, family: str, table: torch.Tensor, latent: dict, tokens: int = 9) -> int:
    """In rows of the positive prompt the image's part is P · r · V; all else is what ComfyUI's attention gives. Returns how many rows
    had to be steered."""
    *frames, height, width = latent["samples"].shape[2:]
    place, layout = SHAPES[family].place(tokens, height, width, *frames), layout_of(family)
    layers, batch, count = len(layout.blocks), len(latent["samples"]), 0
    own = [call for call in calls if place.has(call)]
    assert own and len(own) % layers == 0
    for number, call in enumerate(own):
        span = layout.span(number % layers)
        rest = torch.ones(call.out.shape[:2], dtype=torch.bool)
        for chunk in [chunk for chunk, role in enumerate(call.chunks) if role == 0]:
            rows = slice(chunk * batch, (chunk + 1) * batch)
            wanted = token_rig.steered_witness(call, place, rows, table[:, span])
            found = call.out[rows][:, list(place.image)].double()
            assert (found - wanted).abs().max() <= steered.TOLERANCE, f"layer {number % layers}"
            rest[rows, place.image.start : place.image.stop] = False
            count += batch
        assert torch.equal(call.out[rest], call.plain[rest])
    return count // layers


@pytest.mark.parametrize(
    "family",
    [pytest.param(name, marks=pytest.mark.way(f"Steering {name}", maps="exact")) for name in FAMILIES],
)
def test_exact(family, caplog):
    """Every family, a batch of two, a guided sampling, two nodes whose factors multiply."""
    layout, latent = layout_of(family), empty(family, batch=2)
    first, second = scaling(family), steered.strengthening(layout, "red, star", strength=0.5)
    model, _ = steer(steer(tiny(family), None, first)[0], None, second)
    positive, negative = worded(family), prompt(family, 9, seed=1)
    with heard() as calls:
        samples = draw(model, positive, negative, latent, steps=1)
    factors = {2: second.factors, **dict.fromkeys(STAR, first.factors * second.factors)}
    assert assert_steered(calls, family, columns(family, factors), latent) == 2
    assert samples.isfinite().all() and "[HRV]" not in caplog.text
    assert not torch.equal(samples, draw(tiny(family), positive, negative, latent, steps=1))
    assert not any("hrv_steer" in wrappers for wrappers in tiny(family).wrappers.values())
    assert "optimized_attention_override" not in model.model_options["transformer_options"]


def test_every_frame_of_a_video():
    family, latent = "Wan", empty("Wan", frames=3)
    steering, given = scaling(family), worded(family)
    model, _ = steer(tiny(family), None, steering)
    with heard() as calls:
        draw(model, given, prompt(family, seed=1), latent, steps=1)
    table = columns(family, dict.fromkeys(STAR, steering.factors))
    assert assert_steered(calls, family, table, latent) == 1


@pytest.mark.parametrize("family", ["Flux", "Stable Diffusion 3"])
def test_a_factor_of_one_changes_nothing(family):
    model, _ = steer(tiny(family), None, scaling(family, factor=1.0))
    given = (worded(family), prompt(family, seed=1), empty(family))
    assert torch.equal(draw(model, *given, steps=1), draw(tiny(family), *given, steps=1))
    late, _ = steer(tiny(family), None, scaling(family, start_percent=0.99))
    assert torch.equal(draw(late, *given, steps=1), draw(tiny(family), *given, steps=1))


def test_other_backends(monkeypatch):
    import comfy.ldm.modules.attention as attention

    for backend in ("attention_sub_quad", "attention_split", "attention_basic"):
        for family in {"Qwen-Image with a mask", "Lumina 2", "Flux"} & {*FAMILIES}:
            monkeypatch.setattr(attention, "optimized_attention", getattr(attention, backend))
            model, _ = steer(tiny(family), None, scaling(family))
            with heard() as calls:
                draw(model, worded(family), worded(family), empty(family), steps=1, cfg=1.0)
            table = columns(family, dict.fromkeys(STAR, scaling(family).factors))
            assert assert_steered(calls, family, table, empty(family)) == 1


def test_only_layers_with_a_chosen_head():
    layout = layout_of("Flux")
    heads = steered.HeadSelection(layout, (torch.arange(layout.heads) == 5).float())
    model, _ = steer(tiny("Flux"), None, scale(heads, 0.0, steered.Where("star")))
    with heard() as calls:
        draw(model, worded("Flux"), prompt("Flux", seed=1), empty("Flux"), steps=1)
    changed = [number for number, call in enumerate(calls) if not torch.equal(call.out, call.plain)]
    assert changed == [2]
    others = torch.arange(2) != 1
    assert torch.equal(calls[2].out[:, :, others], calls[2].plain[:, :, others])


def test_areas():
    """The area's call is smaller, and its image starts as far behind the same text."""
    family, latent = "Flux", empty("Flux", height=12, width=14)
    steering, negative = scaling(family), prompt(family, seed=1)
    (part,) = nodes.ConditioningSetArea().append(worded(family, seed=2), 64, 48, 48, 16, 1.0)
    model, _ = steer(tiny(family), None, steering)
    with heard() as calls:
        draw(model, worded(family) + part, negative, latent, steps=1, cfg=1.0)
    table = columns(family, dict.fromkeys(STAR, steering.factors))
    for size in ((12, 14), (6, 8)):
        assert assert_steered(calls, family, table, empty(family, 1, *size)) == 1


@pytest.mark.parametrize("first", ["recorder", "steering"])
@pytest.mark.parametrize("family", ["Flux", "Z-Image"])
def test_with_the_recorder_in_either_order(family, first):
    """The latent is that of steering alone, and what is recorded is P, without a word about another node."""
    steering, given = scaling(family), (worded(family), prompt(family, seed=1), empty(family))
    alone, _ = steer(tiny(family), None, steering)
    base = tiny(family) if first == "recorder" else alone
    both, _, recording = attach(base, None, RecordOptions(every=1))
    both = steer(both, None, steering)[0] if first == "recorder" else both
    with heard() as calls:
        latent = draw(both, *given)
    assert torch.equal(latent, draw(alone, *given))
    (run,) = recording.runs
    assert run.warnings == []
    place, layers = SHAPES[family].place(9, 10, 14), len(run.layout.blocks)
    own = [call for call in calls if place.has(call) and 0 in call.chunks]
    sums = token_rig.witness(own, place, slice(own[0].chunks.index(0), own[0].chunks.index(0) + 1), layers)
    (entry,) = run.entries
    kept = [*entry.columns, len(place.text)]
    for number, expected in enumerate(sums):
        assert torch.allclose(entry.maps[number].double().sum(1), expected[:, :, kept], rtol=2e-3, atol=1e-7)


def test_the_steered_attention_can_be_recorded():
    family, given = "Flux", (worded("Flux"), prompt("Flux", seed=1), empty("Flux"))
    found = {}
    for shown in (True, False):
        recorded, _, recording = attach(tiny(family), None, RecordOptions(every=1))
        model, _ = steer(recorded, None, scaling(family, record_steered=shown))
        draw(model, *given, steps=1)
        (found[shown],) = recording.runs[0].entries
    places = [found[True].columns.index(column) for column in STAR]
    for number, maps in found[False].maps.items():
        wanted = maps.float().clone()
        factors = scaling(family).factors[layout_of(family).span(number)]
        wanted[:, :, :, places] *= factors[:, None, None, None]
        assert torch.allclose(found[True].maps[number].float(), wanted, rtol=2e-3, atol=1e-7)


def foreign(model, seen: list):
    """Another pack's attention: the image's queries read half of what they would. After ours it calls what it finds."""
    clone = model.clone()
    options = clone.model_options["transformer_options"] = dict(clone.model_options["transformer_options"])

    def override(attention, *args, **kwargs):
        seen.append(args[2].clone())
        return attention(*args, **kwargs) * 0.5

    options["optimized_attention_override"] = override
    return clone


@pytest.mark.parametrize("order", ["before", "after"])
def test_beside_another_packs_attention(order, caplog):
    """It is called once for each layer, with the values as they were; what is added to what it gave is P · (r − 1) · V."""
    family, seen = "Flux", []
    steering, given = scaling(family), (worded(family), worded(family), empty(family))
    if order == "before":
        model, _ = steer(foreign(tiny(family), seen), None, steering)
    else:
        model = foreign(steer(tiny(family), None, steering)[0], seen)
    with heard() as calls:
        draw(model, *given, steps=1, cfg=1.0)
    layers = len(layout_of(family).blocks)
    assert len(seen) == len(calls) == layers
    place, table = SHAPES[family].place(9, 10, 14), columns(family, dict.fromkeys(STAR, steering.factors))
    for number, call in enumerate(calls):
        image = list(place.image)
        steered_image = token_rig.steered_witness(
            call, place, slice(0, 1), table[:, layout_of(family).span(number)]
        )
        added = steered_image - call.plain[:, image].double()
        assert torch.allclose(call.out[:, image].double(), call.plain[:, image] * 0.5 + added, atol=1e-5)
        text = list(place.text)
        assert torch.equal(call.out[:, text], call.plain[:, text] * 0.5)
    assert caplog.text.count("Another node replaces this model's attention") == 1
    assert "What was steered is the attention that the model would have without it" in caplog.text


def test_cancel_and_errors(monkeypatch, caplog):
    family, given = "Flux", (worded("Flux"), prompt("Flux", seed=1), empty("Flux"))
    model, _ = steer(tiny(family), None, scaling(family))
    plain, changed = draw(tiny(family), *given), draw(model, *given)

    def raising(error):
        def broken(*args):
            raise error

        return broken

    for error, text in (
        (RuntimeError("broken"), "RuntimeError: broken"),
        (torch.cuda.OutOfMemoryError("out of memory"), "memory ran out"),
    ):
        caplog.clear()
        with monkeypatch.context() as patch:
            patch.setattr(following_tokens, "added_values", raising(error))
            assert torch.equal(draw(model, *given), plain)
        assert f"Steering stopped while in an attention layer ({text})" in caplog.text
    with monkeypatch.context() as patch:
        cancel = comfy.model_management.InterruptProcessingException()
        patch.setattr(following_tokens, "attend", raising(cancel))
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            draw(model, *given)
    assert torch.equal(draw(model, *given), changed)


def test_a_compiled_model_is_steered_as_it_was_written():
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    family, given = "Flux", (worded("Flux"), prompt("Flux", seed=1), empty("Flux"))
    model, _ = steer(tiny(family), None, scaling(family))
    compiled = model.clone()
    set_torch_compile_wrapper(compiled, backend="eager")
    assert torch.equal(draw(compiled, *given, steps=1), draw(model, *given, steps=1))


def test_unknown_words_and_words_that_are_not_there(caplog):
    family, latent = "Flux", empty("Flux")
    model, _ = steer(tiny(family), None, scaling(family, "zebra"))
    plain = draw(tiny(family), worded(family), prompt(family, seed=1), latent, steps=1)
    assert torch.equal(draw(model, worded(family), prompt(family, seed=1), latent, steps=1), plain)
    assert "“zebra” is not in the prompt. The prompt's words are: red, star." in caplog.text
    caplog.clear()
    model, _ = steer(tiny(family), None, scaling(family))
    assert torch.equal(draw(model, prompt(family), prompt(family, seed=1), latent, steps=1), plain)
    assert "Nothing was steered in a prompt whose words are not known" in caplog.text
