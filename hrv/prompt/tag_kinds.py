"""Tags that name no thing: quality, camera, medium, style, view. None of them can be missing from an image or lie in the place of
something else, so Prompt Report does not judge them.

A recording tells that a word gathers nowhere (`gathers` in hrv/report/findings.py), but not why; these lists know the usual ones. They are
small on purpose: what they do not know counts as a thing.
"""

from __future__ import annotations

import re
import unicodedata

QUALITY = frozenset(
    """masterpiece masterpieces best good great high highest highly higher ultra super very really extreme extremely insanely
    incredibly amazing perfect beautiful stunning awesome fine finely quality aesthetic aesthetics awa res highres absurdres
    lowres hires resolution newest recent score official original detail details detailed intricate elaborate complex sharp
    sharpness crisp focus focused hdr hd fhd qhd uhd sdr raw unedited realistic realism photorealistic photorealism
    photoreal hyperrealistic hyperrealism ultrarealistic ultrarealism hyper lifelike real professional professionally award
    winning trending artstation pixiv deviantart unsplash rating safe sfw nsfw sensitive questionable explicit""".split()
)
CAMERA = frozenset(
    """dslr slr lens macro telephoto fisheye anamorphic bokeh exposure aperture iso shutter focal length depth shallow
    dof film analog analogue grain grainy vignetting chromatic aberration motion blur blurry blurred photo photos photograph
    photographs photography photographic photographed cinematic cinema cinematography volumetric ambient global illumination
    raytracing tracing subsurface scattering unreal octane vray render rendered rendering cg cgi 3d 2d lighting backlit
    backlighting rim studio golden hour soft hard natural low contrast vivid vibrant muted warm cool cold colors colours color
    colour coloring colouring grading graded tone tones palette dramatic epic moody atmospheric saturated desaturated""".split()
)
MEDIUM = frozenset(
    """art artwork illustration illustrations illustrated painting painted drawing drawn sketch sketched lineart concept digital
    traditional media medium watercolor watercolour gouache acrylic charcoal impasto manga anime cartoon chibi screencap
    wallpaper fanart cel shading shaded style styled stylized stylised vibe mood atmosphere monochrome greyscale grayscale
    sepia""".split()
)
VIEW = frozenset(
    """portrait shot view viewed angle perspective composition closeup close wide full upper lower body cowboy dutch pov from
    above below side behind viewer looking facing solo humans outdoors indoors day""".split()
)
# These count beside one of the others only: “pencil sketch”, but “pencil”.
COMPANY = frozenset(
    """top tack clarity edit speed format frame ray engine unity blender key ink oil pencil pastel crayon line comic pixel
    vector flat cover camera flare field up at back away in of the a no on and with for general to""".split()
)
MANNERS = QUALITY | CAMERA | MEDIUM | VIEW
# What ends in one of these names no thing, whatever stands before: “soft blue lighting”, “gothic style”.
MANNER_NOUNS = frozenset(
    """lighting style quality resolution photography photorealism cinematography aesthetic aesthetics realism focus bokeh
    aberration exposure screencap lineart shading grading artwork fanart contrast perspective""".split()
)
# So do these where they stand alone or what they show follows: “oil painting of a house”. “A painting and a cat” names two.
MEDIA = frozenset(
    """painting drawing sketch photo photograph picture image illustration portrait render rendering closeup shot view art
    watercolor watercolour lithograph engraving screenshot snapshot close-up""".split()
)
WHOLE = frozenset(
    """hetero / rim light / soft light / natural light / window light / studio light / hard light / hard shadows / light leaks /
    rule of thirds / female focus / male focus / looking to the side / straight-on / long exposure / film still / movie still /
    double exposure / lens flare / national geographic / commentary""".replace("\n    ", " ").split(" / ")
)
_PATTERNS = re.compile(
    r"""score\s\d+(\sup)?|(year|rating)\s?:?\s?\w+|source\s\w+                       # score_8_up, year 2024, rating:general
    |((art|artwork|illustration|illustrated|painting|painted|drawn|drawing|photo|photographed)\s)?
        by\s(?!(an?|the|my|his|her|its|their)\b).+                                # by alphonse mucha; not: by the window
    |((painted|drawn|done|made|rendered)\s)?in\sthe\sstyle\sof\s.+|inspired\sby\s.+|trending\son\s.+|.+\s\((medium|style)\)
    |(shot|taken|captured|photographed|filmed|made)\s(on|with)\s.+
    |(kodak|canon|nikon|leica|fujifilm|fuji|hasselblad|polaroid|kodachrome|ektachrome|ilford|sony|olympus|pentax|zeiss|arri)\b.*
    |<[^<>]*>|embedding:.+|--\w+(\s\S+)?          # networks, textual inversions, parameters of other programs
    |[a-z]""",
    re.VERBOSE,
)
_NUMBER = re.compile(  # alone or with a unit, f/1.8, 1/200s, 16:9, 1920x1080, 1990s
    r"f/?\d+([.,]\d+)?|\d+/\d+s?|\d+[:x×]\d+|\d+([.,]\d+)?(mm|cm|m|k|p|px|fps|s|sec|mp|bit|ev|hz|dpi|ppi|x|%|°)?"
)
PEOPLE = frozenset(
    """girl girls boy boys other others woman women man men person people lady ladies guy guys child children kid kids couple
    female male""".split()
)


def is_manner(tag: str) -> bool:
    """Whether a tag, as typed, names no thing.

    >>> [is_manner(tag) for tag in ("best quality", "score_8_up", "f/1.8", "by alphonse mucha", "red star", "1girl")]
    [True, True, True, True, False, False]
    """
    plain = _folded(tag)
    if plain in WHOLE or _PATTERNS.fullmatch(plain) or _is_face(plain):
        return True
    words = plain.replace("-", " ").split()
    if not words or words[-1] in MANNER_NOUNS:
        return bool(words)
    kinds = [word in MANNERS or bool(_NUMBER.fullmatch(word)) for word in words]
    return any(kinds) and all(kind or word in COMPANY for kind, word in zip(kinds, words, strict=True))


def is_praise(word: str) -> bool:
    """Whether a word before a noun says how good it is to be, or counts, and nothing of what it looks like: “detailed eyes”."""
    plain = _folded(word)
    return (
        plain in QUALITY
        or all(part in QUALITY for part in plain.split("-"))
        or bool(_NUMBER.fullmatch(plain))
    )


def is_medium(noun: str) -> bool:
    """Whether a noun may name what an image is (“photo”) instead of what is in it."""
    return _folded(noun) in MEDIA


def is_person(tag: str) -> bool:
    """Whether a tag or a noun names people: “1girl”, “old man”. In a list of tags most others describe them."""
    words = _folded(tag).split()
    return bool(words) and words[-1].lstrip("0123456789+") in PEOPLE


def _folded(tag: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", tag).casefold().replace("_", " ").strip(" .!").split())


def _is_face(plain: str) -> bool:
    """An emoticon: `:d`, `>_<`, `^_^`."""
    return plain.isascii() and len(plain) > 1 >= sum(c.isalnum() for c in plain)
