"""Legible type for captions, in any script for which the computer has a font."""

from __future__ import annotations

from functools import lru_cache

from PIL import ImageDraw, ImageFont

# Pillow's own font has Latin only; these are where the usual systems keep the other scripts.
SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "msyh.ttc",
    "YuGothM.ttc",
    "malgun.ttf",
    "PingFang.ttc",
    "Arial Unicode.ttf",
    "AppleSDGothicNeo.ttc",
    "seguisym.ttf",
    "segoeui.ttf",
    "arial.ttf",
    "unifont.ttf",
)
UNDEFINED = "\U0010fffe"


@lru_cache(maxsize=2048)
def width(words: str, size: int) -> int:
    """Width in pixels of one line of type."""
    words = _one_line(words)
    return round(_font_for(words, size).getlength(words))


def wrap(words: str, size: int, room: int) -> list[str]:
    """The text in lines of at most `room` pixels, parted at spaces; a longer word keeps a line of its own."""
    lines: list[str] = []
    for word in _one_line(words).split(" "):
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and width(joined, size) <= room:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines


def write(
    pen: ImageDraw.ImageDraw,
    position: tuple[int, int],
    words: str,
    *,
    size: int,
    ink: tuple[int, int, int],
    room: int,
    align: str = "left",
) -> None:
    """One line of type at (x, top), x being its left end, its middle or its right end.

    Type that is wider than `room` pixels is made smaller, down to two thirds, and then cut with an ellipsis.
    """
    words = _one_line(words)
    baseline = position[1] + round(size * 0.95)
    smallest = max(9, round(size * 2 / 3))
    while size > smallest and width(words, size) > room:
        size -= 1
    while len(words) > 1 and width(words, size) > room:
        words = words[:-2].rstrip() + "…"
    anchor = {"left": "ls", "center": "ms", "right": "rs"}[align]
    pen.text((position[0], baseline), words, fill=ink, font=_font_for(words, size), anchor=anchor)


@lru_cache(maxsize=2048)
def _one_line(words: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())


@lru_cache(maxsize=2048)
def _font_for(words: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font where it has every letter, else the system font that has most of them."""
    names = (None, *SYSTEM_FONTS)
    best, fewest = None, len(words) + 1
    for name in names:
        missing = sum(not c.isspace() and not _has_letter(name, c) for c in set(words))
        if missing < fewest:
            best, fewest = name, missing
        if fewest == 0:
            break
    return _load(best, size) or ImageFont.load_default(size)


@lru_cache(maxsize=512)
def _load(name: str | None, size: int):
    if name is None:
        return ImageFont.load_default(size)
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


@lru_cache(maxsize=4096)
def _has_letter(name: str | None, letter: str) -> bool:
    font = _load(name, 24)
    if font is None:
        return False
    if not isinstance(font, ImageFont.FreeTypeFont):
        return ord(letter) < 256
    return bytes(font.getmask(letter)) != bytes(font.getmask(UNDEFINED))  # pyright: ignore[reportArgumentType]
