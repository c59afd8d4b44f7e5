"""Pictures of every kind come out as MNIST's images would, or are refused in one line."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from mnist_core.config import DataConfig
from mnist_core.data import load
from mnist_core.errors import DataError
from mnist_core.prediction import digit_images

N = 40


@pytest.fixture
def store(tmp_path):
    """Write an array or picture; return its path."""

    def save(picture, name="digit.png", **options):
        if isinstance(picture, np.ndarray):
            picture = Image.fromarray(picture)
        picture.save(tmp_path / name, **options)
        return tmp_path / name

    return save


@pytest.fixture(scope="module")
def mnist():
    """Return uint8 [40, 28, 28] and the nearest neighbour's class of such images."""
    data = load(DataConfig())
    train = data.train.images.numpy().reshape(-1, 784).astype(np.float32)
    labels = data.train.labels.numpy()

    def nearest(images):
        flat = np.asarray(images).reshape(-1, 784).astype(np.float32)
        return labels[((train**2).sum(axis=1) - 2 * flat @ train.T).argmin(axis=1)]

    return data.validation.images[:N].numpy(), data.validation.labels[:N].numpy(), nearest


def drawn(size=(200, 260), at=(60, 50), ink=0, ground=255, mode="L"):
    """Return a picture of a 7 whose upper left corner is ``at``, 90 high and 60 wide."""
    picture = Image.new(mode, size, ground)
    x, y = at
    line = [(x, y), (x + 60, y), (x + 20, y + 90)]
    ImageDraw.Draw(picture).line(line, fill=ink, width=9, joint="curve")
    return picture


def in_a_photo(image, random, *, noise=0.03):
    """Return uint8 [300, 400]: an MNIST image as dark ink somewhere on unevenly lit paper."""
    large = Image.fromarray(image).resize((168, 168), Image.Resampling.BICUBIC)
    ink = np.zeros((300, 400))
    top, left = random.integers(0, 300 - 168), random.integers(0, 400 - 168)
    ink[top : top + 168, left : left + 168] = np.asarray(large) / 255
    y, x = np.mgrid[-1:1:300j, -1:1:400j]
    slope, fall = random.uniform(-0.2, 0.2, 2), random.uniform(0, 0.25)
    paper = 0.75 + slope[0] * x + slope[1] * y - fall * (x * x + y * y)
    light = paper * (1 - 0.75 * ink) + random.normal(0, noise, ink.shape)
    return np.rint(light.clip(0, 1) * 255).astype(np.uint8)


def centre_of_mass(image):
    mass = image / image.sum()
    return float(mass.sum(axis=1) @ np.arange(28)), float(mass.sum(axis=0) @ np.arange(28))


def box(image):
    rows, columns = np.nonzero(image > 0.3 * image.max())
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def test_images_of_mnist_stay_as_they_are(store, mnist):
    for image in mnist[0]:
        assert np.array_equal(digit_images.read(store(image)).image, image)
        turned = digit_images.read(store(255 - image))
        assert np.array_equal(turned.image, image) and turned.note == "inverted"


@pytest.mark.parametrize("ground", [0, 255])
def test_what_is_drawn_is_scaled_and_centred(store, ground):
    found = [
        digit_images.read(store(drawn(size, at, 255 - ground, ground)))
        for size, at in (((200, 260), (60, 50)), ((90, 120), (4, 4)), ((640, 480), (500, 300)))
    ]
    for digit in found:
        assert box(digit.image)[0] in (19, 20, 21)
        assert centre_of_mass(digit.image) == pytest.approx((14, 14), abs=0.6)
        assert digit.image.max() == 255
    # Neither the place nor the paper around matters.
    assert np.array_equal(found[0].image, found[1].image)


def test_no_part_of_a_digit_falls_outside(store):
    picture = Image.new("L", (100, 160), 255)
    pen = ImageDraw.Draw(picture)
    pen.ellipse((30, 10, 80, 50), fill=0)  # all but all of its ink is at the top
    pen.line([(78, 30), (78, 150)], fill=0, width=5)
    image = digit_images.read(store(picture)).image
    rows, _ = np.nonzero(image > 76)
    assert (rows.min(), rows.max()) == (8, 27)


def test_ink_on_paper_and_chalk_on_slate_are_the_same(store):
    dark, light = (
        digit_images.read(store(drawn(ink=ink, ground=255 - ink))).image for ink in (0, 255)
    )
    assert np.array_equal(dark, light)


@pytest.mark.parametrize("noise", [0.0, 0.08])
def test_photos_of_unevenly_lit_paper(store, mnist, noise):
    images, labels, nearest = mnist
    random = np.random.default_rng(0)
    found = [
        digit_images.read(store(in_a_photo(image, random, noise=noise))).image for image in images
    ]
    as_they_are = (nearest(images) == labels).mean()
    assert (nearest(found) == labels).mean() >= as_they_are - 0.05
    assert np.abs(np.array(found, float) - images).mean() < 0.5 * images.mean()


def test_a_photo_of_chalk(store, mnist):
    images, labels, nearest = mnist
    random = np.random.default_rng(1)
    found = [digit_images.read(store(255 - in_a_photo(image, random))).image for image in images]
    assert (nearest(found) == labels).mean() >= (nearest(images) == labels).mean() - 0.05


def test_dirt_does_not_move_the_digit(store):
    clean = drawn()
    dirty = drawn()
    pen = ImageDraw.Draw(dirty)
    for x, y in ((3, 3), (190, 250), (10, 240)):
        pen.ellipse((x, y, x + 3, y + 3), fill=0)
    found = [digit_images.read(store(picture)).image for picture in (clean, dirty)]
    assert np.array_equal(*found)


def test_a_second_stroke_is_no_dirt(store):
    picture = Image.new("L", (100, 100), 255)
    pen = ImageDraw.Draw(picture)
    pen.line([(30, 40), (30, 90), (60, 90)], fill=0, width=8)
    pen.line([(30, 15), (65, 15)], fill=0, width=6)  # a 5's bar, drawn apart
    image = digit_images.read(store(picture)).image
    assert box(image)[0] in (19, 20, 21)
    assert image[:8].max() > 200


def colour(mode):
    return drawn().convert(mode)


@pytest.mark.parametrize(
    ("picture", "name"),
    [
        (drawn().convert("1"), "bits.png"),
        (colour("RGB"), "colour.jpg"),
        (colour("P"), "palette.gif"),
        (colour("CMYK"), "print.tif"),
        (colour("F"), "float.tif"),
        (Image.fromarray(np.asarray(drawn(), np.uint16) * 257), "wide.png"),
        (Image.fromarray(np.asarray(drawn(), np.int32) * 257), "wider.tif"),
        (drawn(mode="LA", ink=(0, 255), ground=(255, 0)), "clear_white.png"),
        (drawn(mode="LA", ink=(0, 255), ground=(0, 0)), "clear_black.png"),
        (drawn(mode="RGBA", ink=(255, 255, 255, 255), ground=(0, 0, 0, 0)), "white_ink.png"),
        (drawn(mode="RGB", ink=(200, 30, 30), ground=(250, 240, 200)), "red.webp"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_kinds_of_pictures(store, picture, name):
    expected = digit_images.read(store(drawn())).image.astype(float)
    found = digit_images.read(store(picture, name)).image
    assert np.abs(found - expected).mean() < 6


def test_of_several_frames_the_first_counts(store):
    expected = digit_images.read(store(drawn())).image
    path = store(drawn().convert("P"), "film.gif", save_all=True, append_images=[colour("P")])
    assert np.array_equal(digit_images.read(path).image, expected)


def test_a_camera_held_sideways(store):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    lying = drawn().transpose(Image.Transpose.ROTATE_90)
    found = digit_images.read(store(lying, "turned.png", exif=exif)).image
    assert np.array_equal(found, digit_images.read(store(drawn())).image)


def test_a_huge_picture(store):
    small = digit_images.read(store(drawn())).image.astype(float)
    large = drawn().resize((4000, 5200), Image.Resampling.NEAREST)
    found = digit_images.read(store(large, compress_level=1)).image
    # A centre that lies between two pixels may be rounded to either.
    moved = [np.roll(found, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    assert min(np.abs(image - small).mean() for image in moved) < 4


def test_a_long_strip(store):
    expected = digit_images.read(store(drawn())).image
    strip = drawn((120, 6000), (30, 3000))
    assert np.abs(digit_images.read(store(strip)).image - expected.astype(float)).mean() < 12


@pytest.mark.parametrize("invert", [True, False])
def test_the_user_decides_what_is_ink(store, mnist, invert):
    image = mnist[0][0]
    found = digit_images.read(store(image), invert=invert).image
    assert np.array_equal(found, 255 - image if invert else image)


def test_raw_is_only_scaled(store, mnist):
    image = mnist[0][0]
    assert np.array_equal(digit_images.read(store(255 - image), raw=True).image, 255 - image)
    assert np.array_equal(digit_images.read(store(image), raw=True, invert=True).image, 255 - image)
    picture = drawn((100, 100), (20, 5))
    expected = picture.resize((28, 28), Image.Resampling.BILINEAR)
    found = digit_images.read(store(picture), raw=True).image
    assert np.abs(found.astype(int) - np.asarray(expected).astype(int)).max() <= 1
    assert digit_images.read(store(np.full((3, 3), 9, np.uint8)), raw=True).image.max() == 9


NOTHING = {
    "white": np.full((50, 50), 255, np.uint8),
    "black": np.zeros((50, 50), np.uint8),
    "a shade": np.pad(np.full((20, 20), 250, np.uint8), 20, constant_values=255),
    "paper": np.random.default_rng(0).normal(180, 4, (200, 300)).clip(0, 255).astype(np.uint8),
    "light falls off": np.tile(np.linspace(90, 200, 300).astype(np.uint8), (200, 1)),
    "clear": np.zeros((40, 40, 4), np.uint8),
    "28x28, black": np.zeros((28, 28), np.uint8),
    "28x28, white": np.full((28, 28), 255, np.uint8),
    "28x28, a shade": np.pad(np.full((20, 20), 5, np.uint8), 4),
    "28x28, a mask of 0 and 1": np.pad(np.ones((20, 20), np.uint8), 4),
}


@pytest.mark.parametrize("bits", [1, 8, 10, 12, 14, 16])
def test_the_scale_of_16_bits_is_that_of_the_picture(store, mnist, bits):
    """Cameras and scanners store 12 bits in 16: taken for 16 they would be nearly black."""
    image = mnist[0][0]
    wide = np.rint(image / 255 * (2**bits - 1)).astype(np.uint16)
    found = digit_images.read(store(wide)).image.astype(int)
    expected = np.where(image > 127, 255, 0) if bits == 1 else image
    assert np.abs(found - expected).max() <= 1


def test_pale_ink_of_mnists_format_is_made_strong(store, mnist):
    image = mnist[0][0]
    for picture in (image // 10, 255 - image // 10):
        found = digit_images.read(store(picture))
        assert np.abs(found.image.astype(int) - image).max() <= 10 and "pale" in found.note
    half = image // 2
    assert np.array_equal(digit_images.read(store(half)).image, half)


@pytest.mark.parametrize("name", NOTHING)
def test_a_picture_of_nothing_is_refused(store, refusal, name):
    said = refusal(DataError, digit_images.read, store(NOTHING[name]))
    assert "digit.png: shows nothing" in said and "--raw" in said


def png(picture):
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"\x89PNG\r\n\x1a\n", "it is a PNG picture"),
        (b"GIF89a", "it is a GIF picture"),
        ("7 ß".encode(), "it is text"),
        (png(drawn())[:300], "cannot be read"),
        (png(Image.new("L", (4, 90))), "has too few pixels to a side to show a digit (4x90"),
        (png(Image.new("L", (1, 1))), "has too few pixels to a side to show a digit (1x1"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path, refusal, content, said):
    path = tmp_path / "it.png"
    path.write_bytes(content)
    message = refusal(DataError, digit_images.read, path)
    assert "it.png: " in message and said in message


def test_files_that_cannot_be_read(tmp_path, refusal):
    assert "cannot be read: No such file" in refusal(
        DataError, digit_images.read, tmp_path / "none.png"
    )
    assert "cannot be read: Is a dir" in refusal(DataError, digit_images.read, tmp_path)
    assert "cannot be read" in refusal(DataError, digit_images.read, tmp_path / "a\0b")
    assert "cannot be read" in refusal(DataError, digit_images.read, tmp_path / ("x" * 300))


def test_a_picture_too_large_is_refused(store, refusal, monkeypatch):
    path = store(drawn())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "is too large" in refusal(DataError, digit_images.read, path)


def test_pixels_that_are_no_numbers(store, refusal):
    broken = np.zeros((30, 30), np.float32)
    broken[3, 4] = np.nan
    said = refusal(DataError, digit_images.read, store(broken, "nan.tif"))
    assert "finite" in said


@settings(max_examples=150)
@given(
    rows=st.integers(1, 60),
    columns=st.integers(1, 60),
    channels=st.sampled_from([None, 3, 4]),
    kind=st.sampled_from(["noise", "few", "bits"]),
    seed=st.integers(0, 2**32 - 1),
    invert=st.sampled_from([None, True, False]),
)
def test_anything_is_an_image_or_refused(tmp_path, rows, columns, channels, kind, seed, invert):
    random = np.random.default_rng(seed)
    shape = (rows, columns) if channels is None else (rows, columns, channels)
    pixels = random.integers(0, 256, shape)
    if kind == "few":
        pixels = np.where(random.random(shape) < 0.02, pixels, 255)
    if kind == "bits":
        pixels = 255 * (pixels > 200)
    path = tmp_path / "any.png"
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    for raw in (False, True):
        try:
            image = digit_images.read(path, invert=invert, raw=raw).image
        except DataError as error:
            assert not raw and len(str(error).splitlines()) == 1
            continue
        assert image.shape == (28, 28) and image.dtype == np.uint8
