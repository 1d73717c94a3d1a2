"""Typographic posters: colours and a motif by genre, the title set large. The same movie, the same bytes.

They are placeholders for movies that have no poster, and say so on their lower edge.
"""

import hashlib
import io
import math
import random
import unicodedata
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from PIL import Image, ImageColor, ImageDraw, ImageFont, ImageOps

from recsys.posters.motifs import MOTIFS, Canvas

MakeFont = Callable[[float], ImageFont.FreeTypeFont]

WIDTH, HEIGHT = 500, 750
_SCALE = 2  # drawn twice as large and reduced: smooth edges
_NOTE = "PLACEHOLDER, DRAWN FROM TITLE AND GENRES"
_LINE, _MAX_LINES = 420, 6
_ARTICLES = {"the", "a", "an", "la", "le", "les", "il", "der", "die", "das", "el", "los", "l'"}

_REPLACED = str.maketrans({"’": "'", "–": "-", "—": "-", "ø": "o", "Ø": "O", "Ł": "L", "ł": "l", "æ": "ae", "ß": "ss"})


def _wide_font() -> str | None:
    """DejaVu Sans (Cyrillic, Greek, Armenian, …) as matplotlib brings it, which MLflow needs; it is not imported."""
    spec = find_spec("matplotlib")
    path = Path(spec.origin or "").parent / "mpl-data/fonts/ttf/DejaVuSans-Bold.ttf" if spec else None
    return str(path) if path and path.is_file() else None


_WIDE_FONT = _wide_font()

# Sky, ground and light of each genre, as RGB; the first genre of a movie decides, the second lends its light.
PALETTES: dict[str, tuple[str, str, str]] = {
    "Action": ("#7a1020", "#1d0a12", "#ff9f43"),
    "Adventure": ("#1f6f78", "#0b2b33", "#f6c667"),
    "Animation": ("#5b4fcf", "#241b57", "#ffd166"),
    "Children": ("#2a8fbd", "#123a5a", "#ffcf5c"),
    "Comedy": ("#e2703a", "#6d2331", "#ffe8a3"),
    "Crime": ("#2f3e55", "#0d131d", "#e8b04b"),
    "Documentary": ("#4f6d5b", "#17241d", "#e6e2c3"),
    "Drama": ("#46405e", "#171425", "#e9a17c"),
    "Fantasy": ("#4a2c77", "#150d2e", "#9be8d8"),
    "Film-Noir": ("#4a4a4f", "#0c0c0e", "#e9e6df"),
    "Horror": ("#38131b", "#070507", "#d9343f"),
    "IMAX": ("#135b8a", "#071a2c", "#f2f5f7"),
    "Musical": ("#8c1f63", "#2a0b2b", "#ffc8dd"),
    "Mystery": ("#1f4450", "#081519", "#c9d6a3"),
    "Romance": ("#b2405f", "#3f1430", "#ffd3c4"),
    "Sci-Fi": ("#14386b", "#050b1e", "#7fe3f0"),
    "Thriller": ("#25303b", "#07090c", "#f0c808"),
    "War": ("#5c5a3a", "#1b1a10", "#e3c799"),
    "Western": ("#c9672f", "#4a1d14", "#ffe0a6"),
}
_OTHER = ("#41566b", "#121a23", "#dfe7ee")


def draw_poster(title: str, year: int | None, genres: Sequence[str]) -> bytes:
    """A poster as JPEG, 500 x 750 pixels.

    Args:
        title: as published, "Godfather, The (1972)".
        year: shown below the title where known.
        genres: the first two decide colours, the first the motif.
    """
    sky, ground, light = PALETTES.get(genres[0], _OTHER) if genres else _OTHER
    if len(genres) > 1:
        light = PALETTES.get(genres[1], _OTHER)[2]
    seed = hashlib.sha256(f"{title}|{year}|{'|'.join(genres)}".encode()).digest()
    size = (WIDTH * _SCALE, HEIGHT * _SCALE)
    image = _gradient(size, sky, ground)
    motif = MOTIFS.get(genres[0] if genres else "", MOTIFS[""])
    motif(Canvas(image, sky, ground, light, random.Random(seed)))  # noqa: S311  a picture, not a secret
    _darken_foot(image, ground)
    image = image.resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    _set_text(image, title, year, genres, light)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def spoken_title(title: str) -> str:
    """A title as it is said: without the year and other titles in brackets, the article in front.

    >>> spoken_title("Godfather: Part II, The (1974)"), spoken_title("Monster, The (Mostro, Il) (1994)")
    ('The Godfather: Part II', 'The Monster')
    >>> spoken_title("Misérables, Les (1995)"), spoken_title("(500) Days of Summer (2009)"), spoken_title("M (1931)")
    ('Les Misérables', '(500) Days of Summer', 'M')
    """
    name = title.strip().partition(" (")[0]
    first, _, last = name.rpartition(", ")
    return f"{last} {first}" if first and last.lower() in _ARTICLES else name


def _gradient(size: tuple[int, int], top: str, bottom: str) -> Image.Image:
    return ImageOps.colorize(Image.linear_gradient("L").resize(size), top, bottom)


def _darken_foot(image: Image.Image, colour: str) -> None:
    """Let the lower half fade into the ground colour, so that text stands out on any motif."""
    width, height = image.size
    fade = Image.linear_gradient("L").point(lambda v: min(255, int(v * 1.5))).resize((width, height // 2))
    image.paste(Image.new("RGB", fade.size, colour), (0, height - fade.size[1]), fade)


def _set_text(image: Image.Image, title: str, year: int | None, genres: Sequence[str], light: str) -> None:
    draw = ImageDraw.Draw(image)
    text, make_font = _printable(spoken_title(title))
    font, lines = _fit(draw, text.upper(), make_font)
    soft = _soften(light)
    leading = int(font.size * 1.14)
    top = HEIGHT - 118 - leading * len(lines)
    draw.rectangle((40, top - 26, 96, top - 21), fill=light)
    for number, line in enumerate(lines):
        draw.text((40, top + number * leading), line, "#ffffff", font, stroke_width=_weight(font))
    small = cast("ImageFont.FreeTypeFont", ImageFont.load_default(17))
    facts = "   ".join(filter(None, [str(year or ""), *map(_folded, genres[:3])]))
    draw.text((40, HEIGHT - 98), _shortened(draw, facts, small), soft, small)
    draw.text((40, HEIGHT - 38), _NOTE, "#ffffff", ImageFont.load_default(10))


def _soften(colour: str) -> tuple[int, int, int]:
    """Half way to white: legible on every ground."""
    red, green, blue = ImageColor.getrgb(colour)[:3]
    return (red + 255) // 2, (green + 255) // 2, (blue + 255) // 2


def _folded(text: str) -> str:
    """A text in the letters of the built-in font; accents are dropped, and letters of other scripts.

    >>> _folded("Les Misérables – Łódź")
    'Les Miserables - Lodz'
    """
    plain = unicodedata.normalize("NFKD", text.translate(_REPLACED)).encode("ascii", "ignore").decode()
    return " ".join(plain.split())


def _printable(text: str) -> tuple[str, MakeFont]:
    """A title as it can be drawn, and its font: one with more scripts where the built-in one would lose letters."""
    folded = _folded(text)
    n_letters = sum(letter.isalnum() for letter in text)
    if sum(letter.isalnum() for letter in folded) < n_letters and _WIDE_FONT:
        make_font = partial(ImageFont.truetype, _WIDE_FONT)
        known = "".join(letter for letter in text if letter.isspace() or _has(make_font(16), letter))
        if sum(letter.isalnum() for letter in known) > sum(letter.isalnum() for letter in folded):
            return " ".join(known.split()), make_font
    return folded or "?", cast("MakeFont", ImageFont.load_default)


def _has(font: ImageFont.FreeTypeFont, letter: str) -> bool:
    """Whether a font has a letter, and it is written from left to right: nothing here turns lines round."""
    is_turned = unicodedata.bidirectional(letter) in {"R", "AL"}
    return not is_turned and bytes(font.getmask(letter)) != bytes(font.getmask("\U0010ffff"))


def _fit(draw: ImageDraw.ImageDraw, text: str, make_font: MakeFont) -> tuple[ImageFont.FreeTypeFont, list[str]]:
    """The largest size at which a title fits into a few lines, and those lines; what never fits is shortened."""
    for size in range(64, 15, -4):
        font = make_font(size)
        lines = _wrap(draw, text, font)
        if len(lines) <= max(3, math.ceil(150 / size)) and all(_width(draw, line, font) <= _LINE for line in lines):
            return font, lines
    if len(lines) > _MAX_LINES:
        lines = [*lines[: _MAX_LINES - 1], f"{lines[_MAX_LINES - 1]} ..."]
    return font, [_shortened(draw, line, font) for line in lines]


def _shortened(draw: ImageDraw.ImageDraw, line: str, font: ImageFont.FreeTypeFont) -> str:
    """A line that fits, with dots in place of what does not."""
    if _width(draw, line, font) <= _LINE:
        return line
    kept = line.removesuffix(" ...")
    while kept and _width(draw, f"{kept}...", font) > _LINE:
        kept = kept[:-1]
    return f"{kept}..."


def _wrap(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _width(draw, longer, font) > _LINE:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _width(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont) -> float:
    return draw.textlength(text, font) + 2 * _weight(font)


def _weight(font: ImageFont.FreeTypeFont) -> int:
    """The built-in font has one weight; an outline makes a bold of it."""
    return 1 if font.size >= 26 else 0
