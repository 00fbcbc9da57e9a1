"""Makes the demo checkpoint from nothing: autoencoder, latents, denoiser with text encoders, judge, figures.

    python tools/train_demo/train.py                         # everything
    python tools/train_demo/train.py --stages unet evaluate  # go on training, measure again

Every stage can be repeated. The denoiser goes on from its last saved state, latents that exist are kept, and
the decoder is trained only if it does not exist yet (--again trains it further; the encoder is computed and
stays, so latents and denoiser stay valid).

Time on 2 CPU cores (AMD Zen 4 with bfloat16): decoder 6 minutes, 20 000 latents 3 minutes, denoiser 0.8 seconds
a step (--minutes), judge 10 minutes, figures 15 minutes. A CPU without bfloat16 takes about 2.5 seconds a step.
On a GPU (estimated, not measured): a quarter of an hour in all, most of it drawing the scenes on the CPU.
"""

import argparse
import os
import sys
from pathlib import Path

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    __package__ = "train_demo"

from . import evaluate, judge, latents, settings, train_dit, train_unet, train_vae

STAGES = ("vae", "latents", "unet", "dit", "judge", "evaluate")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument(
        "--work",
        type=Path,
        default=settings.PACK / ".host" / "train_demo",
        help="folder for states and latents (default: .host/train_demo)",
    )
    parser.add_argument("--minutes", type=float, default=90, help="how long the denoiser trains")
    parser.add_argument("--dit-minutes", type=float, default=60, help="how long the transformer trains")
    parser.add_argument(
        "--dit-batch", type=int, default=train_dit.BATCH, help="scenes a step of the transformer"
    )
    parser.add_argument(
        "--dit-from",
        type=Path,
        metavar="FILE",
        help="a trained transformer to go on from where there is no state",
    )
    parser.add_argument("--vae-minutes", type=float, default=6, help="how long the decoder trains")
    parser.add_argument("--latents", type=int, default=20_000, help="scenes to render and encode")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes on CPU cores")
    parser.add_argument(
        "--batch",
        type=int,
        default=train_unet.MICRO_BATCH,
        help="scenes a micro-batch; a step is four of them",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=settings.CHECKPOINT,
        help="where the denoiser goes, replaced every five minutes (default: the shipped file)",
    )
    parser.add_argument(
        "--from",
        dest="begin",
        type=Path,
        metavar="CHECKPOINT",
        help="go on from a finished checkpoint (for instance the shipped one) where the work folder holds no state",
    )
    parser.add_argument(
        "--rate", type=float, default=train_unet.PEAK_RATE, help="the denoiser's highest learning rate"
    )
    parser.add_argument("--again", action="store_true", help="train the decoder further though it exists")
    arguments = parser.parse_args()
    work = arguments.work
    if arguments.begin and not (work / train_unet.STATE).exists():
        train_unet.begin_from(arguments.begin, work)
    vae_path = work / "vae.safetensors"
    if "vae" in arguments.stages and (arguments.again or not vae_path.exists()):
        if not vae_path.exists():
            train_vae.make_encoder(vae_path, arguments.workers)
        train_vae.train(vae_path, arguments.vae_minutes * 60, arguments.workers)
    if not vae_path.exists():  # the shipped one, which the shipped networks were trained with
        train_vae.take_from(settings.CHECKPOINT, vae_path)
    if "latents" in arguments.stages:
        latents.make(vae_path, work / "latents", -(-arguments.latents // latents.CHUNK), arguments.workers)
    if "unet" in arguments.stages:
        train_unet.train(
            work,
            arguments.minutes * 60,
            arguments.workers,
            arguments.batch,
            arguments.checkpoint,
            arguments.rate,
        )
    if "dit" in arguments.stages:
        train_dit.train(
            work,
            arguments.dit_minutes * 60,
            arguments.workers,
            arguments.dit_batch,
            begin=arguments.dit_from,
        )
    if "judge" in arguments.stages:
        judge.train(settings.JUDGE, vae_path)
    if "evaluate" in arguments.stages:
        sys.argv = sys.argv[:1]
        evaluate.main()


if __name__ == "__main__":
    main()
