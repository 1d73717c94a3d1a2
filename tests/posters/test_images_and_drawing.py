"""Only pixels get into the store, and drawn posters are whole, distinct and the same every time."""

import io

import pytest
from PIL import Image

from recsys.errors import DataError
from recsys.posters.images import to_poster
from recsys.posters.motifs import MOTIFS
from recsys.posters.title_cards import PALETTES, _printable, draw_poster


def encoded(size, image_format="PNG", mode="RGB", colour="red"):
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, image_format)
    return buffer.getvalue()


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_known_formats_become_jpeg_and_wide_ones_500_pixels(image_format):
    poster = to_poster(encoded((1000, 1500), image_format))
    with Image.open(io.BytesIO(poster.data)) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (500, 750))  # 1500 * 500 / 1000
    assert (poster.width, poster.height) == (500, 750)


def test_a_small_image_keeps_its_size_and_what_is_transparent_becomes_white():
    poster = to_poster(encoded((40, 60), mode="RGBA", colour=(0, 0, 0, 0)))
    with Image.open(io.BytesIO(poster.data)) as image:
        assert image.size == (40, 60)
        assert min(image.getpixel((20, 30))) > 250


def test_metadata_and_whatever_follows_the_image_are_dropped():
    exif = Image.Exif()
    exif[0x010E] = "secret place"  # ImageDescription
    buffer = io.BytesIO()
    Image.new("RGB", (40, 60)).save(buffer, "JPEG", exif=exif)
    poster = to_poster(buffer.getvalue() + b"<script>alert(1)</script>")
    assert b"secret" not in poster.data
    assert b"script" not in poster.data


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "an empty body is no JPEG"),
        (b"<!doctype html><title>Are you a robot?</title>", "beginning '<!doctype html>"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"></svg>', "beginning '<svg"),
        (encoded((400, 600), "JPEG")[:300], "damaged"),
        (encoded((400, 600), "BMP"), "is no JPEG"),
        (encoded((1, 1)), "1 x 1 pixels, at least 16"),
        (encoded((8_000, 6_000), mode="1", colour=0), "8,000 x 6,000 pixels, 40,000,000 allowed"),
        (encoded((15_000, 15_000), mode="1", colour=0), "damaged|allowed"),
    ],
    ids=["empty", "html", "svg", "cut off", "another format", "tracking pixel", "too many pixels", "bomb"],
)
def test_what_is_no_poster_is_refused_with_its_reason(body, reason):
    with pytest.raises(DataError, match=reason):
        to_poster(body)


@pytest.mark.parametrize("genre", [*PALETTES, ""])
def test_every_genre_is_drawn_the_same_each_time(genre):
    genres = [genre] if genre else []
    poster = draw_poster("Silent Harbour, The (1987)", 1987, genres)
    assert poster == draw_poster("Silent Harbour, The (1987)", 1987, genres)
    with Image.open(io.BytesIO(poster)) as image:
        assert (image.format, image.size) == ("JPEG", (500, 750))


def test_every_palette_has_a_motif_and_titles_differ():
    assert set(MOTIFS) == {*PALETTES, ""}
    assert draw_poster("A", 1999, ["Drama"]) != draw_poster("B", 1999, ["Drama"])


@pytest.mark.parametrize("title", ["", "X" * 300, "Ω мир 映画", "word " * 80, "(500) Days of Summer (2009)"])
def test_no_title_is_too_long_or_too_strange_to_draw(title):
    assert draw_poster(title, None, ["Unheard-of"])[:2] == b"\xff\xd8"


def text_of(title, genres=("Drama",)):
    """The lower part of a poster, where the text stands, as grey values."""
    with Image.open(io.BytesIO(draw_poster(title, None, list(genres)))) as image:
        return image.convert("L").crop((0, 380, 500, 700))


def is_bright(image, box):
    """Whether white letters reach into a box."""
    return image.crop(box).getextrema()[1] > 230


def test_other_scripts_are_drawn_where_the_font_has_them_and_never_as_boxes():
    assert [_printable(title)[0] for title in ("Броненосец Потёмкин", "Αγγελόπουλος", "映画 Zatoichi", "七人の侍")] == [
        "Броненосец Потёмкин",
        "Αγγελόπουλος",
        "Zatoichi",
        "?",
    ]
    assert text_of("Броненосец") != text_of("七人の侍")


@pytest.mark.parametrize(
    ("title", "genres"),
    [("X" * 120, ["Drama"]), ("word " * 80, ["Drama"]), ("Short", ["A genre with a long name"] * 3)],
    ids=["one word", "many words", "genres"],
)
def test_no_text_runs_over_the_edge(title, genres):
    assert not is_bright(text_of(title, genres), (465, 0, 500, 320))
