"""What steering adds to a sampling of a full-size SD 1.5 network (random weights): two words, every head."""

import bench
import samplings

SIDE = 32  # latent pixels: a picture of 256 × 256, so that pairs are short enough to repeat


def measure(quick: bool) -> list[bench.Row]:
    import models
    import rig
    import torch

    from hrv_pack.host.facts.layers import layout_of
    from hrv_pack.host.follow.steerer import steer
    from hrv_pack.hrv.relevance.vectors import HeadRelevance
    from hrv_pack.hrv.steer.factors import Where, strengthen

    model = models.random_model(models.SD1, shared=True)
    layout = layout_of(model.model.diffusion_model)
    votes = torch.randint(1, 50, (2, layout.heads), generator=torch.Generator().manual_seed(0))
    vectors = HeadRelevance.from_votes(("Color", "Vehicles"), votes, layout, {})
    steered, _ = steer(model, None, strengthen(vectors, "Color", 1.0, 0.0, Where("red, car")))
    prompts, latent = samplings.prompts(models.SD1["context_dim"]), {"samples": torch.zeros(1, 4, SIDE, SIDE)}

    def sample(one):
        return rig.sample(one, *prompts, latent, steps=1)

    if torch.equal(sample(model), sample(steered)):
        raise SystemExit("Nothing was steered.")
    found = bench.paired(lambda: sample(model), lambda: sample(steered), 2 if quick else 9)
    note = f"two words, all {layout.heads} heads, {8 * SIDE}²"
    return [found.row("sampling SD 1.5 with Strengthen Concept, against plain", 1.05, note)]
