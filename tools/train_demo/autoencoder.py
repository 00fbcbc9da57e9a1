"""An autoencoder that fits inside ComfyUI's TAESD shape: a fixed encoder and a narrow learned decoder.

The encoder's latents are averages over 8×8 pixels of red, green, blue and of the saturation (largest minus
smallest), mixed linearly so that they have zero mean and unit covariance over this world's pictures. Such
latents are smooth where the picture is, which a small denoiser learns far sooner than learned ones full of
edges (tried: after 2200 steps it knew the backgrounds' words, not the objects').

TAESD has 64 channels and up to three blocks a level. The decoder has WIDTH channels and fewer blocks; a block
left out is a ReLU, which is what a TAESD block with zero weights does. `widen` pads both parts with zeros to
the full shape, so that ComfyUI's own TAESD class computes exactly the same pictures. (ComfyUI's other picture
autoencoder normalises in 32 groups: at small widths each channel loses its mean, and with it the colour.)
"""

import torch
from torch import nn

WIDTH = 32
TAESD_WIDTH = 64
# Trained blocks by their index in TAESD's Sequential; the other block indices are left out.
ENCODER_LEFT_OUT = (1, 3, 4, 5, 7, 8, 9, 11, 12, 13)
DECODER_BLOCKS, DECODER_LEFT_OUT = (3, 4, 8, 9, 13), (5, 10, 14, 15, 18)


class Clamp(nn.Module):
    """TAESD's soft limit on latents."""

    def forward(self, x):
        return torch.tanh(x / 3) * 3


class Block(nn.Module):
    """Three convolutions and a skip; keys as TAESD's."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Sequential(
            _conv(width, width), nn.ReLU(), _conv(width, width), nn.ReLU(), _conv(width, width)
        )
        self.conv[4].weight.data.mul_(0.3)

    def forward(self, x):
        return torch.relu(self.conv(x) + x)


def _conv(n_in: int, n_out: int, **options) -> nn.Conv2d:
    conv = nn.Conv2d(n_in, n_out, 3, padding=1, **options)
    nn.init.kaiming_normal_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


class Autoencoder(nn.Module):
    """encoder: (picture, RGB 0..1, height, width) → white latents (picture, 4, height/8, width/8); decoder back."""

    def __init__(self, width: int = WIDTH):
        super().__init__()
        encoder = {0: _conv(3, width), 14: _conv(width, 4)}
        encoder |= {i: _conv(width, width, stride=2, bias=False) for i in (2, 6, 10)}
        decoder = {0: Clamp(), 1: _conv(4, width), 2: nn.ReLU(), 19: _conv(width, 3)}
        decoder |= {i: nn.Upsample(scale_factor=2) for i in (6, 11, 16)}
        decoder |= {i: _conv(width, width, bias=False) for i in (7, 12, 17)}
        encoder |= {i: nn.ReLU() for i in ENCODER_LEFT_OUT}
        decoder |= {i: Block(width) for i in DECODER_BLOCKS} | {i: nn.ReLU() for i in DECODER_LEFT_OUT}
        decoder[19].weight.data.mul_(0.3)
        nn.init.constant_(decoder[19].bias, 0.5)
        self.taesd_encoder = nn.Sequential(*(encoder[i] for i in range(15)))
        self.taesd_decoder = nn.Sequential(*(decoder[i] for i in range(20)))


def averages(pictures: torch.Tensor) -> torch.Tensor:
    """(picture, RGB 0..1, height, width) → means over 8×8 pixels of red, green, blue and saturation."""
    saturation = pictures.amax(1, keepdim=True) - pictures.amin(1, keepdim=True)
    return nn.functional.avg_pool2d(torch.cat([pictures, saturation], dim=1), 8)


@torch.no_grad()
def fix_encoder(vae: Autoencoder, mean: torch.Tensor, matrix: torch.Tensor) -> None:
    """Make the encoder compute matrix · (averages - mean); mean (4,), matrix (4, 4).

    Saturation is relu(R - G) + relu(G - B) + relu(B - R). Halving three times by a mean over 2×2 pixels gives
    the mean over 8×8: a stride-2 convolution with weights 1/4 on its middle and right, middle and lower taps.
    """
    encoder = vae.taesd_encoder
    for weight in encoder.parameters():
        weight.zero_()
    first = encoder[0].weight  # (channel, RGB, 3, 3): channels 0 to 2 are RGB, 3 to 5 the differences
    for colour in range(3):
        first[colour, colour, 1, 1] = 1
        first[3 + colour, colour, 1, 1] = 1
        first[3 + colour, (colour + 1) % 3, 1, 1] = -1
    for halving in (2, 6, 10):
        for channel in range(6):
            encoder[halving].weight[channel, channel, 1:, 1:] = 0.25
    encoder[14].weight[:, :3, 1, 1] = matrix[:, :3]
    encoder[14].weight[:, 3:6, 1, 1] = matrix[:, 3:]
    encoder[14].bias.copy_(-matrix @ mean)
    encoder.requires_grad_(False)


def widen(narrow: Autoencoder, latent_scale: float) -> dict[str, torch.Tensor]:
    """State dict of ComfyUI's TAESD with the same function: new channels and left-out blocks are zero."""
    out = {}
    for key, weight in narrow.state_dict().items():
        outputs = TAESD_WIDTH if weight.shape[0] == WIDTH else weight.shape[0]
        if weight.ndim == 1:
            wide = weight.new_zeros(outputs)
            wide[: len(weight)] = weight
        else:
            inputs = TAESD_WIDTH if weight.shape[1] == WIDTH else weight.shape[1]
            wide = weight.new_zeros(outputs, inputs, *weight.shape[2:])
            wide[: weight.shape[0], : weight.shape[1]] = weight
        out[key] = wide
    for part, left_out in (("taesd_encoder", ENCODER_LEFT_OUT), ("taesd_decoder", DECODER_LEFT_OUT)):
        for index in left_out:
            for conv in (0, 2, 4):
                name = f"{part}.{index}.conv.{conv}"
                out[f"{name}.weight"] = torch.zeros(TAESD_WIDTH, TAESD_WIDTH, 3, 3)
                out[f"{name}.bias"] = torch.zeros(TAESD_WIDTH)
    out["vae_scale"], out["vae_shift"] = torch.tensor(latent_scale), torch.tensor(0.0)
    return out


def narrow(wide: dict[str, torch.Tensor]) -> Autoencoder:
    """The other way round: the narrow autoencoder in a state dict that `widen` made."""
    autoencoder = Autoencoder()
    own = autoencoder.state_dict()
    corners = {key: wide[key][tuple(slice(n) for n in weight.shape)].float() for key, weight in own.items()}
    autoencoder.load_state_dict(corners)
    return autoencoder
