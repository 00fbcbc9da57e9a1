"""The base of all followers, with a follower that has hooks of its own: nothing in it asks for a UNet or for cross-attention."""

import comfy.patcher_extension
import pytest
import rig
import torch
from test_ways_models import other  # noqa: F401  a fixture

from hrv_pack.host.follow.base.following import Following
from hrv_pack.host.follow.base.wrapping import OUTER_SAMPLE, PREDICT_NOISE, Wrapping

ALL_KINDS = vars(comfy.patcher_extension.WrappersMP).values()


class Path(Following):
    """Notes the latents that the sampler holds."""

    doing, done, consequence = "Noting", "noted", "The image is not affected."

    def __init__(self, fails: bool):
        super().__init__()
        self.fails = fails
        self.latents: list[tuple[float, torch.Tensor]] = []

    def before_evaluation(self, evaluation) -> None:
        if self.fails:
            raise ValueError("broken")
        self.latents.append((evaluation.sigma, evaluation.x.clone()))


class Noting(Wrapping):
    key, follower = "hrv_test", Path

    def __init__(self, fails: bool = False):
        super().__init__()
        self.fails = fails
        self.paths: list[Path] = []

    def new_sampling(self) -> Path:
        self.paths.append(Path(self.fails))
        return self.paths[-1]


def kinds_on(model) -> list[str]:
    return [kind for kind in ALL_KINDS if isinstance(kind, str) and model.get_wrappers(kind, Noting.key)]


@pytest.mark.parametrize(
    "other", ["Flux", "Stable Diffusion 3", "Another transformer (PixArt)"], indirect=True
)
def test_a_model_without_cross_attention_is_followed(other, caplog):  # noqa: F811
    model, prompt, latent = other
    plain = rig.sample(model, prompt, prompt, latent, cfg=1.0)
    followed, noting = model.clone(), Noting()
    noting.put_on(followed)
    assert kinds_on(followed) == [OUTER_SAMPLE, PREDICT_NOISE]
    assert Noting.of(followed) is noting and Noting.of(model) is None
    assert torch.equal(rig.sample(followed, prompt, prompt, latent, cfg=1.0), plain)
    (path,) = noting.paths
    sigmas = [sigma for sigma, _ in path.latents]
    assert len(sigmas) == 2 and sigmas == sorted(sigmas, reverse=True)
    assert all(x.shape[-2:] == plain.shape[-2:] for _, x in path.latents)
    assert "[HRV]" not in caplog.text
    Noting.take_off(followed)
    assert kinds_on(followed) == []


def test_an_error_ends_the_following(caplog):
    studio = rig.studio("sd1")
    followed, noting = studio.model.clone(), Noting(fails=True)
    noting.put_on(followed)
    expected = rig.sample(studio.model, studio.positive, studio.negative)
    assert torch.equal(rig.sample(followed, studio.positive, studio.negative), expected)
    assert caplog.text.count("[HRV]") == 1
    assert noting.paths[0].warnings == [
        "Noting stopped while following the schedule (ValueError: broken). The image is not affected."
    ]
