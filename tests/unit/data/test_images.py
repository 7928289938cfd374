import io
import os
import pickle
import socket
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from promptmlr.data import ImageFile, UnreadableImage, find_images, images, open_image
from promptmlr.data.images import image_from_bytes
from support import require_shared


def pixel(path, at=(0, 0)):
    image = open_image(path)
    assert image.mode == "RGB"
    return image.getpixel(at)


@pytest.mark.parametrize(
    ("mode", "colour", "suffix", "expected"),
    [
        ("RGB", (10, 200, 30), ".png", (10, 200, 30)),
        ("L", 77, ".png", (77, 77, 77)),
        ("1", 1, ".png", (255, 255, 255)),
        ("CMYK", (0, 255, 255, 0), ".tif", (255, 0, 0)),
        ("RGBA", (255, 0, 0, 255), ".png", (255, 0, 0)),
        ("RGBA", (255, 0, 0, 0), ".png", (255, 255, 255)),
        ("RGBA", (0, 0, 0, 51), ".png", (204, 204, 204)),
        ("LA", (0, 51), ".png", (204, 204, 204)),
        ("I;16", 65535, ".png", (255, 255, 255)),
        ("I;16", 257 * 100, ".png", (100, 100, 100)),
        ("I;16", 255, ".tif", (1, 1, 1)),
        ("I;16B", 257 * 100, ".tif", (100, 100, 100)),
        ("I", 257 * 100, ".tif", (100, 100, 100)),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (5, 3)])
def test_images_of_every_mode_become_rgb(tmp_path, mode, colour, suffix, expected, size):
    path = tmp_path / f"image{suffix}"
    Image.new(mode, size, colour).save(path)
    assert pixel(path) == expected
    assert open_image(path).size == size


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp", ".gif", ".ppm", ".avif"])
def test_common_image_formats_show_their_colour(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    Image.new("RGB", (16, 16), (250, 20, 20)).save(path)
    assert np.allclose(pixel(path, (8, 8)), (250, 20, 20), atol=12)


def test_a_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "image.jpg")
    assert np.allclose(pixel(tmp_path / "image.jpg"), (255, 0, 0), atol=12)


def test_a_palette_and_its_transparent_entry(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    image.save(tmp_path / "opaque.png")
    image.save(tmp_path / "one.png", transparency=1)
    image.save(tmp_path / "bytes.png", transparency=bytes([255, 0]))
    assert [pixel(tmp_path / "opaque.png", (x, 0)) for x in (0, 1)] == [(255, 0, 0), (0, 0, 255)]
    for name in ("one.png", "bytes.png"):
        assert [pixel(tmp_path / name, (x, 0)) for x in (0, 1)] == [(255, 0, 0), (255, 255, 255)]


def test_a_transparent_colour_of_an_rgb_image(tmp_path):
    Image.new("RGB", (2, 2), (1, 2, 3)).save(tmp_path / "image.png", transparency=(1, 2, 3))
    assert pixel(tmp_path / "image.png") == (255, 255, 255)


# Where EXIF's eight orientations put the red corner of a stored image that has it at the top left.
CORNERS = {1: (0, 0), 2: (-1, 0), 3: (-1, -1), 4: (0, -1), 5: (0, 0), 6: (-1, 0), 7: (-1, -1), 8: (0, -1)}


@pytest.mark.parametrize("orientation", CORNERS)
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_exif_rotation(tmp_path, orientation, suffix):
    stored = Image.new("RGB", (64, 32), "black")
    stored.paste("red", (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"image{suffix}", exif=exif)
    image = open_image(tmp_path / f"image{suffix}")
    assert image.size == ((64, 32) if orientation < 5 else (32, 64))
    x, y = (4 if end == 0 else extent - 5 for end, extent in zip(CORNERS[orientation], image.size, strict=True))
    assert image.getpixel((x, y))[0] > 200


def test_damaged_exif_does_not_cost_the_image(tmp_path):
    Image.new("RGB", (4, 4), "white").save(tmp_path / "image.jpg", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xffjunk")
    Image.new("RGB", (4, 4), "white").save(tmp_path / "other.jpg", exif=b"Exif\0\0nonsense")
    assert pixel(tmp_path / "image.jpg") == pixel(tmp_path / "other.jpg") == (255, 255, 255)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".tif", ".png"])
def test_the_first_frame_counts(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / f"image{suffix}", save_all=True, append_images=frames[1:])
    assert np.allclose(pixel(tmp_path / f"image{suffix}"), (255, 0, 0), atol=8)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".webp", ".tif", ".bmp", ".ppm"])
@pytest.mark.parametrize("part", [0.1, 0.6, 0.95])
def test_truncated_images_are_refused(tmp_path, suffix, part):
    path = tmp_path / f"image{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(UnreadableImage, match=f"^[^\n]*image{suffix}: [^\n]+$"):
        open_image(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an image"),
        (b"hello", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 40, "not an image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "not an image"),
    ],
)
def test_other_files_are_refused(tmp_path, content, reason):
    (tmp_path / "image.jpg").write_bytes(content)
    with pytest.raises(UnreadableImage, match=f"image.jpg: {reason}"):
        open_image(tmp_path / "image.jpg")


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(UnreadableImage, match=r"image\.jpg: no such file"):
        open_image(tmp_path / "image.jpg")
    with pytest.raises(UnreadableImage, match="directory"):
        open_image(tmp_path)


@pytest.mark.parametrize(
    ("mode", "value", "reason"), [("F", 0.5, "floating-point"), ("I", 70000, "exceed"), ("I", -1, "exceed")]
)
def test_pixels_without_a_known_range_are_refused(tmp_path, mode, value, reason):
    Image.new(mode, (2, 2), value).save(tmp_path / "image.tif")
    with pytest.raises(UnreadableImage, match=reason):
        open_image(tmp_path / "image.tif")


def png_header(width, height):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"never decoded")


@pytest.mark.parametrize("side", [13_378, 100_000])
def test_bombs_are_refused_by_their_header(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(png_header(side, side))
    with pytest.raises(UnreadableImage, match=r"bomb\.png: more than 178,956,970 pixels"):
        open_image(tmp_path / "bomb.png")


def test_the_limit_counts_pixels(tmp_path, monkeypatch):
    Image.new("RGB", (10, 10)).save(tmp_path / "image.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    assert open_image(tmp_path / "image.png").size == (10, 10)
    monkeypatch.setattr(images, "MAX_PIXELS", 99)
    with pytest.raises(UnreadableImage, match="more than 99 pixels"):
        open_image(tmp_path / "image.png")


def test_bytes_are_read_as_files_are(tmp_path):
    for suffix, mode in ((".png", "RGBA"), (".jpg", "RGB"), (".tif", "I;16")):
        path = tmp_path / f"image{suffix}"
        Image.new(mode, (6, 4), 51 if mode == "I;16" else (200, 10, 0, 99)[: len(mode)]).save(path)
        found, expected = image_from_bytes(path.read_bytes(), "image"), open_image(path)
        assert found.mode == "RGB"
        assert found.tobytes() == expected.tobytes()


def test_bytes_have_limits_of_their_own():
    large = png_header(20, 10)
    with pytest.raises(UnreadableImage, match=r"^a\.png: more than 199 pixels"):
        image_from_bytes(large, "a.png", max_pixels=199)
    with pytest.raises(UnreadableImage, match=r"^a\.png: cannot be decoded"):
        image_from_bytes(large, "a.png", max_pixels=200)
    with pytest.raises(UnreadableImage, match=r"^a\.png: not an image"):
        image_from_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n", "a.png")


def test_a_photo_with_a_film_behind_it_has_its_own_scans_alone():
    file = io.BytesIO()
    Image.effect_noise((64, 48), 90).convert("RGB").save(file, "JPEG", progressive=True, quality=95)
    content = file.getvalue()
    assert images._scans(content) == 10
    scan = b"\xff\xda\x00\x02"
    assert image_from_bytes(content + 50_000 * scan, "photo").size == (64, 48)
    assert images._scans(b"\x89PNG" + 500 * scan) == 0


def test_a_large_image_under_the_limit_does_not_warn(tmp_path):
    (tmp_path / "large.png").write_bytes(png_header(10_000, 10_000))
    with pytest.raises(UnreadableImage) as caught:
        open_image(tmp_path / "large.png")
    assert "exceeds limit" not in str(caught.value)  # Pillow's warning, which would be an error here


def test_an_image_file_is_small_and_picklable(tmp_path):
    Image.new("RGB", (2, 2), "red").save(tmp_path / "image.png")
    image = pickle.loads(pickle.dumps(ImageFile(tmp_path / "image.png")))
    assert image.name == str(tmp_path / "image.png")
    assert image.open().getpixel((0, 0)) == (255, 0, 0)


def test_real_photos_are_found_and_opened():
    photos = list(find_images([require_shared("coco-photos")]))
    assert len(photos) > 100
    assert all(min(open_image(photo).size) > 100 for photo in photos[:10])


@pytest.fixture
def tree(tmp_path):
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "m/z.webp", "m/c.jpg", ".cache/x.png", "odd[1].png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def found(tree, *arguments):
    return [path.relative_to(tree).as_posix() for path in find_images([tree / a for a in arguments])]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["."], ["a.png", "b.JPG", "m/c.jpg", "m/z.webp", "odd[1].png"]),
        (["m", "a.png"], ["m/c.jpg", "m/z.webp", "a.png"]),
        (["notes.txt"], ["notes.txt"]),
        (["odd[1].png"], ["odd[1].png"]),
        (["*"], ["a.png", "b.JPG", "odd[1].png"]),
        (["m/*.jpg", "[ab].*"], ["m/c.jpg", "a.png", "b.JPG"]),
        (["**/*.webp"], ["m/z.webp"]),
        (["a.png", "a.png"], ["a.png", "a.png"]),
    ],
)
def test_finding_images(tree, arguments, expected):
    assert found(tree, *arguments) == expected


def test_arguments_without_an_image_are_refused_at_the_call(tree, refused):
    (tree / "empty").mkdir()
    refused(["nowhere", "no such file or folder"], find_images, [tree / "a.png", tree / "nowhere"])
    refused(["no image in folder", "empty", ".jpg"], find_images, [tree / "a.png", tree / "empty"])
    (tree / "empty" / "00000.tar").touch()
    refused(["no image in folder", "empty/*.tar'"], find_images, [tree / "empty"])
    refused(["no image matches", "*.bmp"], find_images, [tree / "*.bmp"])
    refused(["xxx", "too long"], find_images, ["x" * 300])


def test_a_link_to_a_folder_above_does_not_loop(tree):
    (tree / "m" / "up").symlink_to(tree)
    assert found(tree, "m") == ["m/c.jpg", "m/z.webp"]


@pytest.mark.parametrize("call", [open_image, lambda path: ImageFile(path).fingerprint(content=True)])
def test_pipes_and_sockets_are_no_images_and_nobody_waits_for_them(tree, call, monkeypatch):
    os.mkfifo(tree / "m" / "pipe.png")
    (tree / "m" / "link.png").symlink_to("pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tree)  # the name of a socket has to be short
        listener.bind("m/socket.png")
    assert found(tree, "m") == ["m/c.jpg", "m/link.png", "m/z.webp"]
    for name in ("pipe.png", "link.png", "socket.png"):
        with pytest.raises(UnreadableImage, match=rf"{name}: no file, but a directory, a pipe or a device"):
            call(tree / "m" / name)
    assert not ImageFile(tree / "m" / "pipe.png").exists()


def test_a_name_that_is_not_utf_8_is_shown_and_refused(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / os.fsdecode(b"bad\xff.png"))
    (image,) = (ImageFile(path) for path in find_images([tmp_path]))
    assert image.name == str(tmp_path / r"bad\udcff.png")
    for call in (image.open, image.fingerprint):
        with pytest.raises(UnreadableImage) as caught:
            call()
        assert str(caught.value) == f"{image.name}: its name is not UTF-8; rename it"


def test_folders_are_listed_as_they_are_reached(tree):
    search = find_images([tree])
    assert next(search).name == "a.png"
    (tree / "m" / "late.png").touch()
    assert "late.png" in {path.name for path in search}


def test_threads_that_decode_leave_the_warning_filters_as_they_were(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (64, 64)).save(path)
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(lambda _: open_image(path), range(200)))) == 200
    assert warnings.filters == before
