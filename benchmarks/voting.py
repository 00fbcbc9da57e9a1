"""What counting votes for head relevance adds to plain sampling, on the CPU."""

import bench
import samplings


def measure(quick: bool) -> list[bench.Row]:
    import models

    from hrv_pack.host.store import concept_store, demo_checkpoint

    model, clip, _ = demo_checkpoint.load()
    found = bench.paired(*_pair(model, clip, concept_store.load("demo"), 32, 20), 2 if quick else 9)
    rows = [found.row("voting, demo checkpoint, 20 steps", 1.15, "5 concepts, 256², euler, cfg 7")]
    general = concept_store.load("general")
    for name, config, side in (("SD1.5", models.SD1, 64), ("SDXL", models.SDXL, 48)):
        side, pairs = (16, 1) if quick else (side, 3)
        model = models.random_model(config, shared=True)
        clip = models.random_clip(config["context_dim"])
        found = bench.paired(*_pair(model, clip, general, side, 1), pairs)
        note = f"34 concepts, {side * 8}², random weights, float32, cfg 7"
        rows.append(found.row(f"voting, full-size {name}, 1 step", 1.15, note))
        del model  # before there is another
    return rows + _layers(clip, general, quick)


def _layers(clip, words, quick: bool) -> list[bench.Row]:
    """Voting in SDXL's layers at 1024², beside the attention of the same layers. clip: of SDXL's width."""
    import recording
    import torch

    from hrv_pack.host.text.concept_words import encode_words
    from hrv_pack.hrv.relevance.votes import VoteCounter

    layers = recording.Layers()
    encoded = encode_words(clip, words)
    channels = encoded.table.shape[1]
    to_k = {
        heads: torch.nn.Linear(channels, heads * recording.WIDTH, bias=False) for _, heads in layers.shapes
    }
    counter = VoteCounter(layers.layout, encoded, seed=0)
    counter.begin("")

    def vote(number, q, k):
        counter.add(number, to_k[layers.layers[number][1]], q[:1], 0)

    found = bench.paired(layers.attend, lambda: layers.attend(vote), 2 if quick else 5)
    added = bench.peak_bytes(lambda: layers.attend(vote)) - bench.peak_bytes(layers.attend)
    note = f"{len(words.concepts)} concepts, {words.count} words"
    return [
        found.row("voting SDXL 1024², added to one evaluation's cross-attention", None, note, less=1.0),
        bench.Row("voting SDXL 1024², added to the peak of memory", max(added, 0) / 1e6, "MB", note=note),
    ]


def _pair(model, clip, words, side: int, steps: int):
    """Functions that sample, the second as Build Head Relevance does."""
    import rig

    from hrv_pack.host.build.tallies import VoteTally
    from hrv_pack.host.facts.layers import layout_of

    tally = VoteTally(clip, layout_of(model.model.diffusion_model), words, seed=0, draws=1, earlier=None)
    voting, _, _ = rig.attach(model, None, tally.options)
    prompts = (_encode(clip, model, text) for text in ("a large striped red star on grass", ""))
    return samplings.pair(model, voting, *prompts, side, steps, before=lambda: tally.begin(""))


def _encode(clip, model, text: str) -> list:
    """The random text encoder of full-size networks has no pooled output of SDXL's size."""
    import torch

    wanted = model.model.model_config.unet_config.get("adm_in_channels")
    encoded = bench.encode(clip, text)
    return (
        [[c, {**v, "pooled_output": torch.ones(1, 1280)}] for c, v in encoded] if wanted == 2816 else encoded
    )
