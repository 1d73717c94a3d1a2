"""The picture behind the title: one simple geometric motif per genre, varied by chance with a fixed seed."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageColor, ImageDraw


@dataclass(frozen=True)
class Canvas:
    """What a motif draws on, and with."""

    image: Image.Image
    sky: str
    ground: str
    light: str
    chance: random.Random

    @property
    def pen(self) -> ImageDraw.ImageDraw:
        return ImageDraw.Draw(self.image, "RGBA")

    @property
    def size(self) -> tuple[int, int]:
        return self.image.size

    def tint(self, colour: str, alpha: int) -> tuple[int, int, int, int]:
        red, green, blue = ImageColor.getrgb(colour)[:3]
        return red, green, blue, alpha

    def disc(self, x: float, y: float, radius: float, fill: tuple[int, int, int, int]) -> None:
        self.pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)

    def ring(self, x: float, y: float, radius: float, colour: tuple[int, int, int, int], width: float) -> None:
        self.pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=int(width))


def sunburst(c: Canvas) -> None:
    """Rays from a low sun."""
    width, height = c.size
    x, y = width * c.chance.uniform(0.3, 0.7), height * 0.42
    n_rays, turn = c.chance.choice([14, 18, 22]), c.chance.random()
    for ray in range(n_rays):
        angles = [(ray + turn + share) * 2 * math.pi / n_rays for share in (0, 0.5)]
        ends = [(x + height * math.cos(a), y + height * math.sin(a)) for a in angles]
        c.pen.polygon([(x, y), *ends], fill=c.tint(c.light, 46))
    c.disc(x, y, width * 0.19, c.tint(c.light, 255))


def planet(c: Canvas) -> None:
    """Stars, and a planet with its shadow and moon."""
    width, height = c.size
    stars(c, 140)
    x, y, radius = width * c.chance.uniform(0.35, 0.7), height * 0.34, width * c.chance.uniform(0.22, 0.3)
    for step in range(4):
        c.disc(x, y, radius * (1.35 - step * 0.1), c.tint(c.light, 16))
    c.disc(x, y, radius, c.tint(c.light, 255))
    shadow = Image.new("L", c.size, 0)
    pen = ImageDraw.Draw(shadow)
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=215)
    away = radius * 0.42
    pen.ellipse((x - radius - away, y - radius - away, x + radius - away, y + radius - away), fill=0)
    c.image.paste(Image.new("RGB", c.size, c.ground), (0, 0), shadow)
    c.disc(x - radius * 1.45, y + radius * 0.9, radius * 0.16, c.tint("#ffffff", 220))


def stars(c: Canvas, n: int) -> None:
    width, height = c.size
    for _ in range(n):
        size = c.chance.choice([1.2, 1.6, 2.4, 3.6])
        x, y = c.chance.uniform(0, width), c.chance.uniform(0, height * 0.75)
        c.disc(x, y, size, c.tint("#ffffff", c.chance.randint(90, 230)))


def peaks(c: Canvas) -> None:
    """Mountain ranges, each nearer and darker, below a sun."""
    width, height = c.size
    c.disc(width * c.chance.uniform(0.25, 0.75), height * 0.27, width * 0.15, c.tint(c.light, 255))
    for layer in range(4):
        base = height * (0.36 + 0.085 * layer)
        points = [(0.0, float(height)), (0.0, base)]
        x = 0.0
        while x < width:
            x += width * c.chance.uniform(0.08, 0.2)
            points.append((x, base - height * c.chance.uniform(-0.02, 0.1)))
        c.pen.polygon([*points, (x, float(height))], fill=c.tint(c.ground, 95 + 45 * layer))


def confetti(c: Canvas) -> None:
    """Large and small dots in the light's colour and in white."""
    width, height = c.size
    for _ in range(46):
        radius = width * c.chance.choice([0.012, 0.02, 0.035, 0.06, 0.1])
        colour = c.chance.choice([c.light, c.light, "#ffffff", c.ground])
        x, y = c.chance.uniform(0, width), c.chance.uniform(0, height * 0.62)
        c.disc(x, y, radius, c.tint(colour, c.chance.randint(110, 230)))


def pair(c: Canvas) -> None:
    """Two circles that overlap."""
    width, height = c.size
    radius, apart = width * 0.26, width * c.chance.uniform(0.13, 0.19)
    x, y = width * 0.5, height * 0.34
    c.disc(x - apart, y, radius, c.tint(c.light, 205))
    c.disc(x + apart, y + height * 0.02, radius, c.tint("#ffffff", 90))
    for step in range(1, 5):
        c.ring(x, y, radius * (1.3 + 0.22 * step), c.tint(c.light, 60 - 11 * step), 4)


def window(c: Canvas) -> None:
    """A tall lit arch, and the light it throws."""
    width, height = c.size
    x, top, half = width * c.chance.uniform(0.34, 0.66), height * 0.13, width * 0.15
    for step in range(6, 0, -1):
        spread = half * (1 + 0.32 * step)
        box = (x - spread, top - (spread - half), x + spread, height)
        c.pen.rounded_rectangle(box, radius=spread, fill=c.tint(c.light, 15))
    sill = height * 0.5
    corners = (True, True, False, False)
    c.pen.rounded_rectangle((x - half, top, x + half, sill), half, c.tint(c.light, 235), corners=corners)
    c.pen.rectangle((x - half * 1.25, sill, x + half * 1.25, sill + 14), fill=c.tint(c.light, 160))
    c.pen.rectangle((x - 3, top, x + 3, sill), fill=c.tint(c.ground, 150))
    for bar in range(3):
        y = top + half + bar * height * 0.1
        c.pen.rectangle((x - half, y - 3, x + half, y + 3), fill=c.tint(c.ground, 150))


def skyline(c: Canvas) -> None:
    """A city at night, some windows lit."""
    width, height = c.size
    c.disc(width * c.chance.uniform(0.2, 0.8), height * 0.2, width * 0.11, c.tint(c.light, 240))
    x = -10.0
    while x < width:
        across, top = width * c.chance.uniform(0.09, 0.17), height * c.chance.uniform(0.26, 0.5)
        c.pen.rectangle((x, top, x + across, height), fill=c.tint(c.ground, 255))
        for column in range(int(across // 30)):
            for row in range(12):
                if c.chance.random() < 0.26:
                    left, upper = x + 12 + column * 30, top + 22 + row * 38
                    c.pen.rectangle((left, upper, left + 11, upper + 17), fill=c.tint(c.light, 210))
        x += across + width * 0.008


def spiral(c: Canvas) -> None:
    """Rings around a point that is not quite the middle."""
    width, height = c.size
    x, y = width * c.chance.uniform(0.42, 0.58), height * 0.34
    dx, dy = c.chance.uniform(-9, 9), c.chance.uniform(-7, 7)
    for step in range(15, 0, -1):
        radius = width * 0.045 * step
        c.ring(x + dx * step, y + dy * step, radius, c.tint(c.light, 235 - 12 * step), width * 0.013)
    c.disc(x, y, width * 0.03, c.tint(c.light, 255))


def claws(c: Canvas) -> None:
    """A moon behind bare, jagged spikes."""
    width, height = c.size
    c.disc(width * c.chance.uniform(0.35, 0.65), height * 0.3, width * 0.24, c.tint(c.light, 235))
    x = -width * 0.05
    while x < width:
        across, tip = width * c.chance.uniform(0.06, 0.15), height * c.chance.uniform(0.12, 0.46)
        lean = width * c.chance.uniform(-0.06, 0.06)
        foot = [(x - across * 0.2, height * 1.0), (x + across, height * 1.0)]
        c.pen.polygon([*foot, (x + across * 0.5 + lean, tip)], fill=c.tint(c.ground, 250))
        x += across * 0.85


def blinds(c: Canvas) -> None:
    """Light through slats, and a tall shadow in it."""
    width, height = c.size
    slant = height * c.chance.uniform(-0.1, 0.1)
    for slat in range(11):
        y = height * (0.06 + 0.058 * slat)
        quad = [(0, y), (width, y + slant), (width, y + slant + height * 0.03), (0, y + height * 0.03)]
        c.pen.polygon(quad, fill=c.tint(c.light, 205 - 12 * slat))
    x = width * c.chance.uniform(0.35, 0.65)
    c.disc(x, height * 0.3, width * 0.085, c.tint(c.ground, 255))
    c.pen.rectangle((x - width * 0.16, height * 0.255, x + width * 0.16, height * 0.27), fill=c.tint(c.ground, 255))
    c.pen.rounded_rectangle((x - width * 0.1, height * 0.2, x + width * 0.1, height * 0.265), 22, c.tint(c.ground, 255))
    c.pen.rounded_rectangle((x - width * 0.2, height * 0.35, x + width * 0.2, height), 90, c.tint(c.ground, 255))


def equaliser(c: Canvas) -> None:
    """Bars that rise and fall like a song."""
    width, height = c.size
    n_bars, phase = 15, c.chance.uniform(0, 6)
    for bar in range(n_bars):
        swing = 0.5 + 0.5 * math.sin(phase + bar * 0.7) * math.cos(phase + bar * 0.23)
        tall = height * (0.07 + 0.34 * swing * c.chance.uniform(0.7, 1))
        x, across = width * (bar + 0.5) / n_bars, width / n_bars * 0.32
        box = (x - across, height * 0.36 - tall / 2, x + across, height * 0.36 + tall / 2)
        c.pen.rounded_rectangle(box, radius=across, fill=c.tint(c.light if bar % 3 else "#ffffff", 225))


def desert(c: Canvas) -> None:
    """A striped sun going down behind table mountains."""
    width, height = c.size
    x, y, radius = width * c.chance.uniform(0.4, 0.6), height * 0.37, width * 0.29
    sun = Image.new("L", c.size, 0)
    pen = ImageDraw.Draw(sun)
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    for stripe in range(5):
        top = y + radius * (0.05 + 0.2 * stripe)
        pen.rectangle((x - radius, top, x + radius, top + radius * 0.035 * (stripe + 1)), fill=0)
    c.image.paste(Image.new("RGB", c.size, c.light), (0, 0), sun)
    for layer, base in enumerate((0.46, 0.52)):
        left = width * c.chance.uniform(-0.1, 0.5)
        foot, top = height * (base + 0.06), height * base
        across = width * c.chance.uniform(0.32, 0.45)
        mesa = [(left, foot), (left + 50, top), (left + across, top), (left + across + 60, foot)]
        c.pen.polygon(mesa, fill=c.tint(c.ground, 200 + 50 * layer))
        c.pen.rectangle((0, foot, width, height), fill=c.tint(c.ground, 120))


def frames(c: Canvas) -> None:
    """Strips of film, some frames lit."""
    width, height = c.size
    for column in range(3):
        for row in range(5):
            x, y = width * (0.08 + 0.29 * column), height * (0.05 + 0.115 * row)
            box = (x, y, x + width * 0.26, y + height * 0.1)
            alpha = c.chance.choice([25, 45, 80, 150, 235])
            c.pen.rounded_rectangle(box, radius=14, fill=c.tint(c.light, alpha))


def waves(c: Canvas) -> None:
    """Soft bands, one above the other."""
    width, height = c.size
    phase = c.chance.uniform(0, 6)
    for band in range(7):
        y = height * (0.14 + 0.07 * band)
        ridge = [
            (x, y + height * 0.03 * math.sin(phase + band * 0.8 + x / width * 5)) for x in range(0, width + 20, 20)
        ]
        c.pen.polygon([(0, height), *ridge, (width, height)], fill=c.tint(c.light, 26))
    c.disc(width * c.chance.uniform(0.25, 0.75), height * 0.2, width * 0.1, c.tint(c.light, 240))


def night(c: Canvas) -> None:
    """A crescent among stars, over hills."""
    width, height = c.size
    stars(c, 90)
    x, y, radius = width * c.chance.uniform(0.35, 0.65), height * 0.29, width * 0.2
    crescent = Image.new("L", c.size, 0)
    pen = ImageDraw.Draw(crescent)
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    pen.ellipse((x - radius * 0.55, y - radius * 1.15, x + radius * 1.45, y + radius * 0.85), fill=0)
    c.image.paste(Image.new("RGB", c.size, c.light), (0, 0), crescent)
    for hill in range(3):
        middle = width * c.chance.uniform(0, 1)
        c.disc(middle, height * (0.98 + 0.05 * hill), width * 0.75, c.tint(c.ground, 130))


MOTIFS: dict[str, Callable[[Canvas], None]] = {
    "": waves,
    "Action": sunburst,
    "Adventure": peaks,
    "Animation": confetti,
    "Children": confetti,
    "Comedy": confetti,
    "Crime": skyline,
    "Documentary": frames,
    "Drama": window,
    "Fantasy": night,
    "Film-Noir": blinds,
    "Horror": claws,
    "IMAX": planet,
    "Musical": equaliser,
    "Mystery": spiral,
    "Romance": pair,
    "Sci-Fi": planet,
    "Thriller": spiral,
    "War": sunburst,
    "Western": desert,
}
