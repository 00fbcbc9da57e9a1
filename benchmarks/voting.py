"""What counting votes for head relevance adds to plain sampling, on the CPU."""

import bench


def measure(quick: bool) -> list[bench.Row]:
    import models
    import rig
    import torch

    from hrv_pack.host import concept_store, demo_checkpoint

    rows = []
    model, clip, _ = demo_checkpoint.load()
    samplings = _samplings(rig, model, clip, concept_store.load("demo"), torch.zeros(1, 4, 32, 32), 20)
    found = bench.paired(*samplings, 2 if quick else 9)
    rows.append(found.row("voting, demo checkpoint, 20 steps", 1.15, "5 concepts, 256², euler, cfg 7"))
    del model, clip
    side, pairs = (16, 1) if quick else (64, 5)
    model = models.random_model(models.SD1, shared=True)
    clip = models.random_clip(models.SD1["context_dim"])
    general = concept_store.load("general")
    found = bench.paired(*_samplings(rig, model, clip, general, torch.zeros(1, 4, side, side), 2), pairs)
    note = (
        f"34 concepts, {side * 8}², random weights, float32, cfg 7; the keys of all words once for each build"
    )
    rows.append(found.row("voting, full-size SD1.5, 2 steps", 1.15, note))
    return rows


def _samplings(rig, model, clip, words, latent, steps: int):
    """(plain, voting): functions that sample, the second as Build Head Relevance does; the latents must be the same."""
    import torch

    from hrv_pack.host.blocks import layout_of
    from hrv_pack.host.tallies import VoteTally

    tally = VoteTally(clip, layout_of(model.model.diffusion_model), words, seed=0, draws=1, earlier=None)
    voting, _, _ = rig.attach(model, None, tally.options)
    positive, negative = (bench.encode(clip, text) for text in ("a large striped red star on grass", ""))
    latents = []

    def sample(one):
        tally.begin("")
        latents.append(rig.sample(one, positive, negative, {"samples": latent}, steps=steps))
        if not torch.equal(latents[0], latents[-1]):
            raise SystemExit("Voting changed the latent.")

    return (lambda: sample(model)), (lambda: sample(voting))
