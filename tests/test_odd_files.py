"""Files as people have them: each odd kind has Pillow's pixels or those of a rule in docs/data.md, or is refused."""

import gzip
import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, features

import doublevit
from conftest import random_image
from doublevit import data, image_files
from doublevit.cli import main
from doublevit.data import DataConfig
from doublevit.data.decode import BadImage, Decoding, decode, decode_jpeg, decode_upright
from doublevit.errors import UserError
from doublevit.files import read_bytes
from doublevit.jobs.read import each_image

PICTURE = random_image(np.random.default_rng(0), (60, 40))
WHITE = (255, 255, 255)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def on_white(image: Image.Image) -> np.ndarray:
    """Return composited pixels by the formula of alpha, within rounding."""
    rgba = np.asarray(image.convert("RGBA")).astype(float)
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + 255 * (1 - alpha)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_images_are_upright(kind, orientation):
    if not features.check("avif") and kind == "AVIF":
        pytest.skip("this Pillow reads no AVIF")
    content = encoded(PICTURE, kind, exif=turned(orientation))
    expected = np.asarray(ImageOps.exif_transpose(opened(content)).convert("RGB"))
    assert expected.shape[:2] == ((40, 60) if orientation < 5 else (60, 40))
    assert np.array_equal(decode_upright(content), expected)


@pytest.mark.parametrize("kind", [name for name in image_files.FORMATS if name != "HEIF"])
def test_every_listed_kind_is_read_as_pillow_reads_it(kind):
    content = encoded(PICTURE, kind)
    assert np.array_equal(decode(content), np.asarray(opened(content).convert("RGB")))


def test_cmyk_and_ycck_jpeg_are_pillows():
    cmyk = encoded(PICTURE.convert("CMYK"), "JPEG", quality=95)  # Pillow writes Adobe's marker, transform 0 or 2
    place = cmyk.index(b"Adobe") + 11
    for transform in (b"\x00", b"\x02"):  # CMYK, YCCK
        content = cmyk[:place] + transform + cmyk[place + 1 :]
        image = opened(content)
        assert image.mode == "CMYK"
        assert np.array_equal(decode_upright(content), np.asarray(image.convert("RGB")))


def test_palette_with_transparency_is_composited_on_white():
    palette = PICTURE.quantize(8)
    for transparency in (3, bytes([0, 40, 128, 255, 255, 200, 9, 255])):
        content = encoded(palette, "PNG", transparency=transparency)
        assert np.abs(decode(content) - on_white(opened(content))).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_what_is_hidden_under_alpha_is_not_shown(kind):
    alpha = Image.fromarray(np.repeat([0, 64, 255], 20).astype(np.uint8)[None].repeat(40, 0))
    image = PICTURE.copy()
    image.putalpha(alpha)
    content = encoded(image, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    pixels = decode(content)
    assert np.array_equal(pixels[:, :20], np.full((40, 20, 3), 255))
    assert np.array_equal(pixels[:, 40:], np.asarray(PICTURE)[:, 40:])
    assert np.abs(pixels - on_white(image)).max() <= 1
    gray = encoded(image.convert("LA"), "PNG")
    assert np.array_equal(decode(gray)[:, :20], np.full((40, 20, 3), 255))
    assert np.abs(decode(gray) - on_white(image.convert("LA"))).max() <= 1


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_several_is_taken(kind):
    frames = [Image.new("RGB", (30, 20), color) for color in ((200, 0, 0), (0, 200, 0))]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert opened(content).n_frames == 2
    assert np.array_equal(decode(content), np.asarray(frames[0]))


def sixteen(levels: np.ndarray, kind: str = "PNG") -> bytes:
    return encoded(Image.fromarray(levels), kind)


LEVELS = np.arange(40 * 60).reshape(40, 60)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_levels_of_16_and_of_12_bits(kind):
    full, twelve = (LEVELS * 27).astype(np.uint16), (LEVELS + 1000).astype(np.uint16)
    assert np.array_equal(decode(sixteen(full, kind))[..., 1], full >> 8)
    assert decode(sixteen(twelve, kind)).max() == 13  # nearly black: the file says 16 bits, and a warning counts it
    assert np.array_equal(decode(sixteen(twelve, kind), Decoding(bits=12))[..., 2], twelve >> 4)
    with pytest.raises(BadImage, match=r"integers from 0 to 64,773: expected 0 to 4,095, as 12 bits hold"):
        decode(sixteen(full, kind), Decoding(bits=12))


def test_bits_that_a_tiff_states_are_believed():
    content = bytearray(sixteen(LEVELS.astype(np.uint16), "TIFF"))
    place = content.index(struct.pack("<HHI", 258, 3, 1)) + 8
    content[place : place + 2] = struct.pack("<H", 12)
    packed = bytes(content)
    image = opened(packed)
    assert image.mode == "I;16"
    expected = np.asarray(image) >> 4
    assert np.array_equal(decode(packed)[..., 0], expected)


def test_integers_of_32_bits_and_floats_are_scaled_or_refused():
    small, large = (LEVELS % 256).astype(np.int32), (LEVELS * 27).astype(np.int32)
    assert np.array_equal(decode(sixteen(small, "TIFF"))[..., 0], small)
    assert np.array_equal(decode(sixteen(large, "TIFF"))[..., 0], large >> 8)  # all white, as Pillow converts it
    with pytest.raises(BadImage, match=r"integers from -5 to"):
        decode(sixteen(small - 5, "TIFF"))
    with pytest.raises(BadImage, match=r"expected 0 to 65,535, as 16 bits hold"):
        decode(sixteen(large * 3, "TIFF"))
    unit = (LEVELS / LEVELS.max()).astype(np.float32)
    assert np.array_equal(
        decode(sixteen(unit, "TIFF"))[..., 0], np.rint(unit * 255)
    )  # all black, as Pillow converts it
    assert np.array_equal(decode(sixteen(unit * 200, "TIFF"))[..., 0], np.rint(unit * 200))
    for bad in (unit - 0.5, unit * 300, np.where(unit == 1, np.nan, unit)):
        with pytest.raises(BadImage, match=r"floats from .*: expected 0 to 1, or 0 to 255"):
            decode(sixteen(bad.astype(np.float32), "TIFF"))


def test_netpbm_of_more_than_8_bits_is_scaled_to_its_own_white():
    levels = (LEVELS % 1024).astype(">u2")
    content = b"P5 60 40 1023\n" + levels.tobytes()
    assert np.abs(decode(content)[..., 0].astype(int) - (levels >> 2)).max() <= 1


def test_nearly_constant_images_are_counted(image_folder, capsys):
    for index in range(2):
        content = sixteen((LEVELS + index).astype(np.uint16))
        (image_folder / "train" / "cat" / f"x{index}.png").write_bytes(content)
    config = DataConfig("folder", image_folder, cache=image_folder.parent / "cache", size=32)
    data.load(config)
    told = " ".join(capsys.readouterr().err.split())
    assert "2 of 14 train images are nearly constant, train/cat/x0.png first" in told
    assert "bits" in told
    images = data.load(DataConfig(**{**vars(config), "bits": 12}))["train"].images
    assert "nearly constant" not in capsys.readouterr().err
    assert images[6].max() > 100


@pytest.mark.parametrize("name", ["a.JPG", "a.png", "a.other", "a"])
def test_contents_decide_and_not_the_name(image_folder, name):
    target = image_folder / "train" / "cat" / name
    target.write_bytes(encoded(PICTURE, "WEBP", lossless=True))
    images = data.load(DataConfig("folder", image_folder, cache=image_folder.parent / "cache", size=40))["train"]
    assert any(np.array_equal(image, np.asarray(PICTURE.crop((10, 0, 50, 40)))) for image in images.images)


def test_damaged_exif_does_not_spoil_an_image():
    for exif in (b"Exif\x00\x00II*\x00\xff\xff\xff\xff", b"Exif\x00\x00II*\x00"):
        content = encoded(PICTURE, "PNG", exif=exif)
        assert np.array_equal(decode(content), np.asarray(PICTURE))


@pytest.mark.parametrize(
    ("bits", "color", "row", "transparent", "levels"),
    [
        (16, 0, struct.pack(">3H", 1000, 1001, 40000), struct.pack(">H", 1000), [255, 3, 156]),
        (16, 2, struct.pack(">6H", *[1000] * 3, *[40000] * 3), struct.pack(">3H", *[1000] * 3), [255, 156]),
        (4, 0, b"\x5f", struct.pack(">H", 5), [255, 255]),
        (4, 0, b"\x53", struct.pack(">H", 5), [255, 51]),
        (2, 0, b"\x1b", struct.pack(">H", 1), [0, 255, 170, 255]),
    ],
)
def test_the_transparent_level_of_a_png_is_white(bits, color, row, transparent, levels):
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", len(levels), 1, bits, color, 0, 0, 0))
    content = head + chunk(b"tRNS", transparent) + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    assert decode(b"\x89PNG\r\n\x1a\n" + content)[0, :, 0].tolist() == levels


def test_a_bound_on_pixels_that_is_none_is_told(monkeypatch, capsys):
    monkeypatch.setattr(image_files, "_IS_BOUND", False)
    monkeypatch.setattr(image_files, "_GIVEN", "1e9")
    with pytest.raises(SystemExit):
        main(["recipes"])
    assert "DOUBLEVIT_MAX_PIXELS=1e9: expected a whole number of pixels" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["La", "I"])
def test_a_pillow_image_that_cannot_be_read_is_told(mode):
    with pytest.raises(UserError, match=f"a PIL image of mode {mode} cannot be read"):
        list(each_image(Image.new(mode, (0, 0) if mode == "I" else (2, 2))))


@pytest.mark.parametrize("images", [np.zeros((0, 4, 3), np.uint8), np.zeros((2, 4, 0, 3), np.uint8)])
def test_arrays_without_pixels_are_told(images):
    with pytest.raises(UserError, match="at least 1 x 1 pixels"):
        list(each_image(images))
    assert list(each_image("x" * 400))  # a name too long for a file is told when it is read


HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"hello", "no image"),
        (gzip.compress(b"x", mtime=0), "a gzip file: .*gunzip"),
        (b"PK\x03\x04....", "a zip file"),
        (b"%PDF-1.7", "a PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript, which is a program and not run"),
        (b"\xef\xbb\xbf <svg xmlns=", "SVG"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (b"\x00\x00\x00\x20ftypisom\x00\x00", r"a film .*\(isom\)"),
        (b"\xff\x0a..", "JPEG XL"),
        (bytes(128) + b"DICM", "DICOM"),
    ],
)
def test_other_files_are_called_by_name(content, words):
    for decoder in (decode, decode_upright, decode_jpeg):
        with pytest.raises(BadImage, match=words):
            decoder(content)


def test_heic_without_its_reader_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    image_files._load_readers.cache_clear()
    with pytest.raises(BadImage, match="pip install pillow-heif"):
        decode(HEIC)


def test_heic_is_read_where_its_reader_is_installed():
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    for orientation in (1, 6):
        content = encoded(PICTURE, "HEIF", quality=-1, exif=turned(orientation))
        expected = np.asarray(ImageOps.exif_transpose(opened(content)).convert("RGB"))
        Image.OPEN.pop("HEIF", None)  # nobody has registered it
        image_files._load_readers.cache_clear()
        assert np.array_equal(decode(content), expected)


def png_of(width: int, height: int) -> bytes:
    """Return a PNG that claims a size, with no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_bombs_are_refused_before_they_take_memory():
    content = encoded(PICTURE, "JPEG")
    place = content.index(b"\xff\xc0") + 5
    jpeg = content[:place] + b"\xff\xff\xff\xff" + content[place + 4 :]
    gif = bytearray(encoded(PICTURE, "GIF"))
    gif[6:10] = b"\xff\xff\xff\xff"
    bmp = bytearray(encoded(PICTURE, "BMP"))
    bmp[18:26] = struct.pack("<ii", 60_000, 60_000)
    script = (
        "import resource, sys; from doublevit.data.decode import *; from doublevit.image_files import BadImage\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for content in eval(sys.stdin.read()):\n"
        "    for decoder in (decode, decode_upright, decode_jpeg):\n"
        "        try: decoder(content); print('read')\n"
        "        except BadImage as error: assert '178,956,970' in str(error) or 'Header' in str(error), error\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    contents = [png_of(60_000, 60_000), jpeg, bytes(gif), bytes(bmp)]
    done = subprocess.run(
        [sys.executable, "-c", script], input=repr(contents), capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 40  # MiB; one of these images has 10 GiB


def test_the_bound_can_be_raised_and_lowered(tmp_path):
    content = encoded(PICTURE, "PNG")
    with pytest.raises(BadImage, match=r"60 x 40 pixels: expected 1 to 2,399 in all; .*DOUBLEVIT_MAX_PIXELS"):
        decode(content, Decoding(max_pixels=2399))
    assert decode(content, Decoding(max_pixels=2400)).shape == (40, 60, 3)
    wide = png_of(20_000, 9_500)  # more than Pillow opens
    with pytest.raises(BadImage, match="20,000 x 9,500 pixels"):
        image_files.open_image(wide)
    assert image_files.open_image(wide, 200_000_000).size == (20_000, 9_500)
    environment = os.environ | {"DOUBLEVIT_MAX_PIXELS": "5"}
    script = "from doublevit.data import DataConfig; print(DataConfig().max_pixels)"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "5\n"


def test_no_process_is_started(tmp_path, monkeypatch):
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    assert opened(eps).format == "EPS"  # Pillow itself would, on loading it

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError(f"a process: {arguments}")

    for module, name in ((subprocess, "Popen"), (subprocess, "check_call"), (os, "system"), (os, "posix_spawn")):
        monkeypatch.setattr(module, name, refuse)
    folder = tmp_path / "set"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for index in range(2):
            PICTURE.save(folder / name / f"{index}.png")
        (folder / name / "trap.jpg").write_bytes(eps)
    splits = data.load(DataConfig("folder", folder, cache=tmp_path / "cache", size=16, skip_bad=True, workers=1))
    assert sum(map(len, splits.values())) == 4
    with pytest.raises(UserError, match="PostScript"):
        doublevit.wrap(TINY(), mean=(0.5,) * 3, std=(0.5,) * 3, size=8, classes=["x", "y"]).predict(
            folder / "a" / "trap.jpg"
        )


def TINY():  # noqa: N802
    import torch

    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))


def test_only_image_formats_are_opened_anywhere():
    from pathlib import Path

    assert not {"EPS", "WMF", "PDF", "PSD", "FPX", "IPTC", "MPEG", "GRIB", "HDF5"} & set(image_files.FORMATS)
    root = Path(doublevit.__file__).parent
    users = [path.name for path in root.rglob("*.py") if "Image.open(" in path.read_text()]
    assert users == ["image_files.py"] or not users


def test_only_regular_files_are_read(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", "/dev/zero", tmp_path):
        with pytest.raises(OSError, match=r"no regular file|directory"):
            read_bytes(path)
    (tmp_path / "big").write_bytes(b"12345")
    assert read_bytes(tmp_path / "big", 5) == b"12345"
    with pytest.raises(OSError, match="5 bytes, more than the 4 that are read"):
        read_bytes(tmp_path / "big", 4)
    (tmp_path / "set" / "a").mkdir(parents=True)
    (tmp_path / "set" / "b").mkdir()
    for name in ("a", "b"):
        (tmp_path / "set" / name / "x.jpg").symlink_to("/dev/zero")
        PICTURE.save(tmp_path / "set" / name / "y.png")
    with pytest.raises(SystemExit):
        main(["data", "prepare", "--data", str(tmp_path / "set"), "--data.cache", str(tmp_path / "cache")])
    assert "x.jpg" in capsys.readouterr().err
