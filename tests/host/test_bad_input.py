"""Whatever is put into a node, through ComfyUI's own executor: a sound result, or an error of ours in an artist's words.

Values for sockets are in bad_values.py. Values for widgets go over their whole range, and beyond what the editor would allow.
"""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

EXAMPLES = 15  # for each node; every one is a whole prompt
SLOW = {"HRVBuildVectors": 6, "HRVPromptReport": 8}
QUICK = settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # a failing prompt is small enough to read as it is
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
NASTY = [
    "", " ", ",", "cat", "Cat, DOG#2", "cat#0", "cat#99999999999999999999", "#", "((((cat", "cat:1.3)", "(cat:nan)", "[cat|dog]",
    "\\(cat\\)", "embedding:", "embedding:none, cat", "😀👨‍👩‍👧‍👦 cat", "مرحبا بالعالم", "\u202ecat", "ｃａｔ", "a" * 10_000, "cat, " * 2_000,
    "\n\n\ncat\r\n", "\x00", "\ud800", "%date:yyyy%", "../../cat", "C:\\cat", "{cat}", "<script>", "nan", "1e999", "-1", "0.3,0.4",
    "0-3, 7", "7-3", "0-99999999999",
]  # fmt: skip
TEXTS = st.one_of(st.sampled_from(NASTY), st.text(max_size=40))
# what Python, torch and numpy say to programmers
TECHNICAL = re.compile(
    r"tensor|dtype|Traceback|has no attribute|NoneType|index out of range|out of bounds|expected .* argument|unsupported operand"
    r"|invalid literal|broadcast|dimension|not iterable|not subscriptable|KeyError|IndexError|object at 0x"
)
TYPED = re.compile("“.*?”", re.DOTALL)
ONES_OF_OURS = ("ValueError", "OSError", "FileNotFoundError")


@pytest.fixture(scope="module")
def pools(comfy) -> dict[str, dict[str, object]]:
    """Socket → name → value."""
    from bad_values import socket_values

    return socket_values()


@pytest.fixture(scope="module")
def runner(comfy):
    from executor import Runner

    return Runner(comfy)


# -- what widgets may get ---------------------------------------------------------------------------------------------

SMALL = {"width": 64, "height": 64, "steps": 2, "prompt_limit": 1, "draws": 2}  # building really samples


def widget(name: str, kind: object, options: dict, wild: bool) -> st.SearchStrategy | None:
    """Values for a widget, with `wild` also those that the editor would not let through; None for sockets."""
    if isinstance(kind, list) or kind == "COMBO":
        known = kind if isinstance(kind, list) else options.get("options", [])
        return st.sampled_from([*known, *(["no such choice"] if wild or not known else [])])
    if kind == "STRING":
        return TEXTS
    if kind == "BOOLEAN":
        return st.booleans()
    low, high = options.get("min", -(2**63)), options.get("max", 2**63)
    if name in SMALL:
        return st.integers(low, SMALL[name])
    beyond = [low, high, options.get("default", low)]
    if kind == "INT":
        return st.one_of(
            st.integers(low, high), st.sampled_from(beyond + ([low - 1, high + 1] if wild else []))
        )
    if kind == "FLOAT":
        wrong = [float("nan"), float("inf"), low - 1] if wild else []
        return st.one_of(st.floats(low, high), st.sampled_from(beyond + wrong))
    return None


def prompt_for(data, node_id: str, specs: dict, pools: dict) -> dict:
    """A prompt with this node. One in four has values that the editor would not let through."""
    from executor import given as provided

    prompt, inputs = {}, {}
    wild = data.draw(st.integers(0, 3), label="wild") == 3
    for group in ("required", "optional"):
        for name, spec in specs.get(group, {}).items():
            kind, options = spec[0], spec[1] if len(spec) > 1 else {}
            if group == "optional" and not data.draw(st.booleans(), label=f"{name} is there"):
                continue
            values = None if options.get("forceInput") else widget(name, kind, options, wild)
            if values is not None:
                inputs[name] = data.draw(values, label=name)
            elif kind in pools:
                names = list(pools[kind])  # the first is a good one
                choice = data.draw(st.one_of(st.just(names[0]), st.sampled_from(names)), label=name)
                prompt[f"{kind} {choice}"] = provided(pools[kind][choice], f"{kind} {choice}")
                inputs[name] = [f"{kind} {choice}", 0]
            else:
                plain = {"STRING": TEXTS, "INT": st.integers(-9, 99), "FLOAT": st.floats(-9, 99)}
                assert kind in plain, f"{node_id} has a socket {kind} that this test has no values for"
                prompt[name] = provided(data.draw(plain[kind], label=name))
                inputs[name] = [name, 0]
    prompt["node"] = {"class_type": node_id, "inputs": inputs}
    return prompt


def sample_with(model) -> None:
    """A sampling with a model that one of our nodes gave comes to its end."""
    import rig

    widths = {width: kind for kind, width in rig.WIDTH.items()}
    kind = widths[model.model.model_config.unet_config["context_dim"]]
    prompt = rig.encode(rig.clip(kind), "a red cat")
    rig.sample(model, prompt, prompt, rig.empty(1, 8, 12), steps=1)


def check(outcome, node_id: str, kinds: list[str], got: dict[str, list]) -> None:
    """Sound outputs, or a refusal or error that an artist can read."""
    if outcome.status == "refused":
        return
    if outcome.status == "error":
        assert outcome.failed == "node", outcome.message
        name = outcome.error_type.rsplit(".", 1)[-1]
        assert name in ONES_OF_OURS or "hrv" in outcome.error_type.lower() or "HRV" in outcome.error_type, (
            f"{node_id}: {outcome.error_type}: {outcome.message}"
        )
        said = TYPED.sub("", outcome.message)  # what was typed may be anything
        assert outcome.message and not TECHNICAL.search(said), f"{node_id}: {outcome.message}"
        return
    assert outcome.status == "success"
    for kind, values in zip(kinds, got, strict=True):
        for value in values:
            if kind in ("IMAGE", "MASK"):
                assert value.ndim == (4 if kind == "IMAGE" else 3), (
                    f"{node_id}: {kind} of shape {tuple(value.shape)}"
                )
                assert value.isfinite().all(), f"{node_id}: {kind} with NaN"
                assert value.numel() == 0 or (0 <= value.min() and value.max() <= 1), (
                    f"{node_id}: {kind} beyond 0 … 1"
                )
            elif kind == "FLOAT":
                assert value == value, f"{node_id}: NaN"
            elif kind == "MODEL":
                sample_with(value)


NODES = [
    "HRVRecordAttention", "HRVHeatmap", "HRVLoadVectors", "HRVSelectHeads", "HRVFilterHeads", "HRVAutoHeads",
    "HRVCompareConcepts", "HRVPromptReport", "HRVLens", "HRVBuildVectors", "HRVSaveVectors", "HRVMergeVectors",
    "HRVStrengthenConcept", "HRVAdjustConcept", "HRVScaleHeads", "HRVMaskIoU", "HRVSaveAttention", "HRVLoadAttention",
    "HRVHeadSweep", "HRVWeakeningCurve", "HRVRememberRun", "HRVPromptEdit", "HRVAttendExcite", "HRVWordEffect",
    "HRVModelEffect", "HRVCompareRecordings", "HRVRecordImage",
]  # fmt: skip


@pytest.mark.parametrize("node_id", NODES)
def test_any_input(comfy, runner, pools, node_id):
    from executor import GIVEN, taken

    from hrv_pack.host.store import vector_store

    catalogue = set(vector_store.catalogue())  # choosing one of these downloads it
    node_class = comfy.node_class(node_id)
    specs = node_class.INPUT_TYPES()
    kinds = list(node_class.RETURN_TYPES)

    @settings(QUICK, max_examples=SLOW.get(node_id, EXAMPLES))
    @given(data=st.data())
    def ask(data):
        prompt = prompt_for(data, node_id, specs, pools)
        if catalogue & {str(value) for value in prompt["node"]["inputs"].values()}:
            return
        for slot in range(len(kinds)):
            prompt[f"taken {slot}"] = taken("node", slot)
        outcome = runner.run(prompt)
        event(outcome.status)  # shown by --hypothesis-show-statistics
        got = [GIVEN.pop(f"node {slot}", []) for slot in range(len(kinds))]
        check(outcome, node_id, kinds, got)

    ask()


def test_every_node_is_asked(comfy):
    """All but the one without inputs."""
    assert set(comfy.ids) - {"HRVDemoCheckpoint"} == set(NODES)


PROMPTS = [
    "", ",", "((((cat", "(cat:nan)", "[cat|dog]", "embedding:none, cat", "😀👨‍👩‍👧‍👦 cat", "مرحبا بالعالم", "\u202ecat", "\x00", "{cat|dog}",
    "a" * 2_000, "cat, " * 400,
]  # fmt: skip


@pytest.mark.parametrize("text", PROMPTS, ids=lambda text: ascii(text)[:24])
def test_any_prompt(comfy, text):
    """Encoded by the host, sampled, and shown: every word that is shown has a map; the latent is the one without us."""
    import rig

    studio = rig.studio("sd1", positive=text)
    draw = {"latent": rig.empty(1, 8, 8), "steps": 1, "cfg": 1.0}
    drawn = rig.sample(studio.recorded, studio.positive, studio.negative, **draw)
    plain = rig.sample(studio.model, studio.positive, studio.negative, **draw)
    assert torch.allclose(drawn, plain, rtol=0, atol=0, equal_nan=True)
    run = rig.last_run(studio.recording)
    try:
        shown = {"attention": studio.recording, "latent": {"samples": drawn}, "caption": False}
        overlay, heat, mask, words = comfy.run_node("HRVHeatmap", **shown)
    except ValueError as error:  # nothing to show
        assert not TECHNICAL.search(str(error)), error
        return
    assert run.warnings == []
    assert len(overlay) == len(heat) == len(mask) == len(words) > 0
    assert heat.isfinite().all()


@pytest.mark.parametrize("name", ["an area of nothing", "an empty mask", "an empty mask's bounds"])
def test_areas_of_nothing(comfy, name):
    """A prompt for no part of the picture: the latent without us, and maps, or words that say why not."""
    import nodes
    import rig

    studio = rig.studio("sd1")
    if name == "an area of nothing":
        (nothing,) = nodes.ConditioningSetAreaPercentage().append(studio.positive, 0.0, 0.0, 0.5, 0.5, 1.0)
    else:
        bounds = "mask bounds" if "bounds" in name else "default"
        (nothing,) = nodes.ConditioningSetMask().append(studio.positive, torch.zeros(1, 64, 64), bounds, 1.0)
    positive = [*studio.negative, *nothing]
    draw = {"latent": rig.empty(1, 8, 8), "steps": 1}
    drawn = rig.sample(studio.recorded, positive, studio.negative, **draw)
    plain = rig.sample(studio.model, positive, studio.negative, **draw)
    assert torch.allclose(drawn, plain, rtol=0, atol=0, equal_nan=True)
    assert len(studio.recording.runs) == 1
    try:
        _, heat, _, words = comfy.run_node(
            "HRVHeatmap", attention=studio.recording, latent={"samples": drawn}, words="cat"
        )
        assert heat.isfinite().all() and words == ["cat"]
    except ValueError as error:
        assert not TECHNICAL.search(str(error)), error
