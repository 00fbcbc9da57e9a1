"""Pictures of two objects with and without faults, judged, each with its recording; made once and kept.

Four sorts, told apart by `Case.plan`:
    text      text-to-image: whatever the demo model makes of the prompt
    faithful  img2img from a drawing that shows what the prompt says
    swapped   img2img from the drawing with the two colours exchanged
    missing   img2img from the drawing with one of the two objects left out
For the last three the sampler starts half-way from the drawing, so a planted fault mostly stays in the picture while
the prompt asks for something else. What the picture really shows, the judge network says (tools/train_demo/judge.py),
never the plan.
"""

import dataclasses
import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from studio import Studio

from hrv_pack.tools.train_demo.draw import render
from hrv_pack.tools.train_demo.world import PLACES, TWO_SENSE, full_caption, sample_scene

PLANS = ("text", "faithful", "swapped", "missing", "faithful")
# What people write before and behind the things of a tag prompt; to the demo model all of it is one unknown word.
BEFORE = (
    ("masterpiece", "best quality", "very aesthetic", "highres", "absurdres", "newest"),
    ("(masterpiece:1.2)", "best quality"),
    ("score_9", "score_8_up", "score_7_up"),
    ("raw photo", "photorealistic"),
)
BEHIND = (
    ("8k uhd", "dslr", "f/1.8", "50mm", "iso 100"),
    ("depth of field", "cinematic lighting", "film grain"),
    ("highly detailed", "sharp focus", "by alphonse mucha"),
    (),
)
STEPS = 12
HALF_WAY = {"steps": 6, "denoise": 0.5}


@dataclass(frozen=True)
class Case:
    """One picture. asked: (kind, colour) of the left and the right object; seen: what the judge says of the left and
    the right half."""

    number: int
    plan: str
    prompt: str
    asked: tuple[tuple[str, str], ...]
    seen: tuple[tuple[str, str], ...]

    @property
    def planted(self) -> bool:
        """Whether the picture shows a fault that was planted, and not one that the model made by itself."""
        return self.plan in ("missing", "swapped") and self.fault in ("missing", "swapped")

    @property
    def fault(self) -> str:
        """missing: a kind that was asked for is in neither half; swapped: both are there, each in the other's colour;
        none: both in their own colours; other: a wrong colour that is not an exchange (counted, not scored)."""
        kinds = [kind for kind, _ in self.seen]
        if any(kind not in kinds for kind, _ in self.asked):
            return "missing"
        colours = dict(self.seen)
        (first, colour), (second, other) = self.asked
        if colours[first] == other and colours[second] == colour:
            return "swapped"
        return "none" if colours[first] == colour and colours[second] == other else "other"


def plan_case(number: int, seed: int, as_tags: bool = False):
    """(plan, scene as asked, scene to start from or None, prompt): the same for the same number and seed.

    as_tags: the prompt is a list of tags, the two things among tags of quality, camera and style."""
    rng = np.random.default_rng((seed, number))
    plan = PLANS[number % len(PLANS)]
    while True:
        scene = sample_scene(rng, two_objects=1.0)
        left, right = scene.things
        words = {left.kind, left.colour, right.kind, right.colour}
        if len(words) == 4 and not words & set(TWO_SENSE):
            break
    things = [f"a {t.colour} {t.kind}".replace("a orange", "an orange") for t in scene.things]
    short = f"{' and '.join(things)} {PLACES[scene.background]}"
    prompt = full_caption(scene) if rng.random() < 0.5 else short
    if as_tags:
        prompt = tag_prompt(scene, rng)
    start = None if plan == "text" else scene
    if plan == "swapped":
        left, right = (dataclasses.replace(a, colour=b.colour) for a, b in ((left, right), (right, left)))
        start = dataclasses.replace(scene, things=(left, right))
    elif plan == "missing":
        start = dataclasses.replace(scene, things=(scene.things[int(rng.integers(2))],))
    return plan, scene, start, prompt


def tag_prompt(scene, rng) -> str:
    """The scene's two things and its place as tags, between those of BEFORE and BEHIND."""
    full = rng.random() < 0.5
    things = [
        f"{t.size} {t.pattern} {t.colour} {t.kind}" if full else f"{t.colour} {t.kind}" for t in scene.things
    ]
    before, behind = (group[int(rng.integers(len(group)))] for group in (BEFORE, BEHIND))
    return ", ".join([*before, *things, PLACES[scene.background], *behind])


class Album:
    """Cases with their recordings, in a folder of /tmp that belongs to these weights, this seed and kind of prompt."""

    def __init__(self, checkpoint: Path, seed: int, as_tags: bool = False):
        digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:12]
        self.checkpoint, self.seed, self.as_tags = checkpoint, seed, as_tags
        self.folder = Path("/tmp/hrv_report_pictures") / f"{digest}_{seed}_bins{'_tags' if as_tags else ''}"
        self.folder.mkdir(parents=True, exist_ok=True)

    def get(self, number: int):
        """(case, recording, latent), made now if it is not there yet."""
        path = self.folder / f"{number:05}.safetensors"
        if not path.is_file():
            self._make(number, path)
        return _read(path)

    @functools.cached_property
    def _studio(self):
        """(studio, recording model, traced CLIP, recording), loaded once."""
        studio = Studio(self.checkpoint)
        return studio, *studio.recorded()

    def _make(self, number: int, path: Path) -> None:
        from safetensors.torch import save_file

        plan, scene, start, prompt = plan_case(number, self.seed, self.as_tags)
        studio, model, clip, recording = self._studio
        latent, how = studio.empty(), {"steps": STEPS}
        if start is not None:
            latent, how = studio.of_picture(render(start)[0]), HALF_WAY
        made = studio.sample(model, *studio.encode(prompt, "", clip=clip), latent, number, **how)
        (answers,) = studio.seen(studio.pictures(made), things=2)
        seen = tuple((said["kind"], said["colour"]) for said in answers)
        case = Case(number, plan, prompt, tuple((t.kind, t.colour) for t in scene.things), seen)
        (entry,) = recording.runs[-1].of_role("positive")
        tensors = {f"maps.{block}": maps.contiguous() for block, maps in entry.maps.items()}
        tensors |= {"latent": made["samples"].contiguous()}
        facts = {"case": json.dumps(dataclasses.asdict(case)), "counts": json.dumps(entry.counts)}
        facts |= {"columns": json.dumps(entry.columns), "layout": recording.layout.to_json()}
        facts |= {"bins": json.dumps(entry.bins)}
        partial = path.with_suffix(".partial")
        save_file(tensors, partial, facts)
        partial.replace(path)


def _read(path: Path):
    from safetensors import safe_open

    from hrv_pack.host.text.clip_trace import tokenize_text
    from hrv_pack.hrv.heads.layout import Layout
    from hrv_pack.hrv.recording.recording import Entry, Recording, Run
    from hrv_pack.hrv.recording.schedule import Bin
    from hrv_pack.hrv.runs.latents import traces_of

    with safe_open(path, framework="pt") as file:
        facts = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    case = json.loads(facts["case"])
    pairs = {key: tuple(map(tuple, case[key])) for key in ("asked", "seen")}
    case = Case(case["number"], case["plan"], case["prompt"], **pairs)
    prompt = tokenize_text(case.prompt)
    maps = {int(name.split(".")[1]): t for name, t in tensors.items() if name.startswith("maps.")}
    counts = json.loads(facts["counts"])
    bins = tuple(Bin(*one) for one in json.loads(facts["bins"]))
    columns = tuple(json.loads(facts["columns"]))
    entry = Entry("positive", 0, prompt, prompt.length, columns, counts, 1, maps, bins=bins)
    run = Run(Layout.from_json(facts["layout"]), [entry], traces_of(tensors["latent"]))
    recording = Recording(run.layout, 2**40)
    recording.add(run)
    return case, recording, tensors["latent"]
