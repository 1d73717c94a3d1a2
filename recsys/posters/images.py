"""What counts as a poster: a real raster image of bearable size, stored as a plain JPEG."""

import io
from dataclasses import dataclass

from PIL import Image, ImageOps, UnidentifiedImageError

from recsys.errors import DataError

MAX_WIDTH = 500
MAX_PIXELS = 40_000_000  # a 5,000 x 7,500 scan still fits; a decompression bomb does not
MIN_SIDE = 16  # smaller ones are tracking pixels
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")


@dataclass(frozen=True)
class PosterImage:
    """A poster ready to be stored: JPEG bytes, without metadata."""

    data: bytes
    width: int
    height: int


def to_poster(body: bytes) -> PosterImage:
    """Decode whatever a server sent and encode it again: nothing but pixels gets through.

    Args:
        body: JPEG, PNG, WebP or GIF; of an animation the first frame is taken.

    Returns:
        A JPEG at most `MAX_WIDTH` pixels wide; smaller images keep their size.

    Raises:
        DataError: no such image (HTML and SVG included), damaged, tiny, or of too many pixels.
    """
    try:
        with Image.open(io.BytesIO(body), formats=_FORMATS) as image:
            _check_size(*image.size)
            picture = _flat(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise DataError(f"{_described(body)} is no {', '.join(_FORMATS)} image. Nothing was stored.") from error
    except (OSError, SyntaxError, ValueError, EOFError, *_BOMBS) as error:
        raise DataError(f"the image is damaged: {error}. Nothing was stored. Try the source again later.") from error
    if picture.width > MAX_WIDTH:
        height = max(1, round(picture.height * MAX_WIDTH / picture.width))
        picture = picture.resize((MAX_WIDTH, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85, progressive=True)
    return PosterImage(buffer.getvalue(), picture.width, picture.height)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise DataError(f"the image has {width:,} x {height:,} pixels, {MAX_PIXELS:,} allowed. Nothing was stored.")
    if min(width, height) < MIN_SIDE:
        raise DataError(f"the image has {width} x {height} pixels, at least {MIN_SIDE} a side. Nothing was stored.")


def _flat(image: Image.Image) -> Image.Image:
    """Plain RGB; what is transparent becomes white."""
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        layered = image.convert("RGBA")
        ground = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(ground, layered).convert("RGB")
    return image.convert("RGB")


def _described(body: bytes) -> str:
    beginning = body[:40].decode("ascii", "replace").strip()
    return f"a body of {len(body):,} bytes beginning {beginning!r}" if body else "an empty body"
