# SPDX-License-Identifier: Apache-2.0
"""image_codec against message bytes laid out by hand, hostile messages, and cv_bridge."""

from __future__ import annotations

import array
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from depth_dpt_ros import image_codec
from depth_dpt_ros.image_codec import (
    ImageCodecError,
    depth_to_image,
    encode_compressed_depth,
    nearness_to_image,
    rgb_to_compressed,
    rgb_to_image,
    to_depth,
    to_rgb,
)

messages = pytest.importorskip("sensor_msgs.msg")
Header = pytest.importorskip("std_msgs.msg").Header

HEIGHT, WIDTH = 6, 8
RGB = np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
GREY = RGB[..., :1]
ALPHA = RGB[..., 2:] ^ 0x5A
NAN = float("nan")

# encoding -> samples [H, W, C] as they stand in the message, and the picture that they mean
EXACT = {
    "rgb8": (RGB, RGB),
    "bgr8": (RGB[..., ::-1], RGB),
    "8UC3": (RGB[..., ::-1], RGB),
    "rgba8": (np.dstack([RGB, ALPHA]), RGB),
    "bgra8": (np.dstack([RGB[..., ::-1], ALPHA]), RGB),
    "8UC4": (np.dstack([RGB[..., ::-1], ALPHA]), RGB),
    "mono8": (GREY, np.dstack([GREY] * 3)),
    "8UC1": (GREY, np.dstack([GREY] * 3)),
}
# 16 bits: the picture in the high byte, something unlike it in the low one
EXACT |= {
    name[:-1] + "16": (samples * np.uint16(256) + np.uint16(0xA5), picture)
    for name, (samples, picture) in EXACT.items()
    if name.endswith("8")
}
BAYER = [
    f"bayer_{pattern}{bits}" for pattern in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)
]
YUV = {"uyvy": "uyvy", "yuv422": "uyvy", "yuyv": "yuyv", "yuv422_yuy2": "yuyv"}


def image(
    samples: NDArray[Any], encoding: str, *, padding: int = 0, big_endian: bool = False
) -> Any:
    """Lay out samples [H, W, C] row by row, with padding bytes that no picture holds."""
    ordered = samples.astype(samples.dtype.newbyteorder(">" if big_endian else "<"))
    rows = [row.tobytes() + b"\xee" * padding for row in ordered]
    message = messages.Image(
        height=len(rows),
        width=samples.shape[1],
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=len(rows[0]),
    )
    message.data.frombytes(b"".join(rows))
    return message


def compressed(data: bytes, format_: str) -> Any:
    message = messages.CompressedImage(format=format_)
    message.data.frombytes(data)
    return message


def png(samples: NDArray[Any]) -> bytes:
    """Write uint8 or uint16 [H, W, 1 grey, 2 grey-alpha, 3 RGB or 4 RGBA], without OpenCV."""
    height, width, channels = samples.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = samples.astype(samples.dtype.newbyteorder(">"))
    head = struct.pack(">IIBBBBB", width, height, 8 * samples.itemsize, colour_type, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    chunks = ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def jpeg(rgb: NDArray[np.uint8], app1: bytes = b"") -> bytes:
    """Write a JPEG, with app1 as its first segment where given."""
    data: bytes = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(app1)) + app1 if app1 else b""
    return data[:2] + segment + data[2:]


def smooth(height: int = 40, width: int = 64) -> NDArray[np.uint8]:
    """Red grows rightwards, green downwards, blue along the diagonal."""
    y, x = np.mgrid[:height, :width].astype(float)
    return np.dstack([40 + 2 * x, 60 + 3 * y, 200 - x - y]).astype(np.uint8)


def mosaic(rgb: NDArray[np.uint8], encoding: str) -> NDArray[Any]:
    """Keep of every pixel the one colour that the pattern's 2x2 tile, read in rows, names."""
    pattern = encoding.removeprefix("bayer_")[:4]
    kept = np.empty(rgb.shape[:2], np.uint8)
    for place, colour in enumerate(pattern):
        row, column = divmod(place, 2)
        kept[row::2, column::2] = rgb[row::2, column::2, "rgb".index(colour)]
    return (kept * np.uint16(257) if encoding.endswith("16") else kept)[..., None]


def assert_close(ours: NDArray[Any], expected: NDArray[Any], tolerance: float) -> None:
    np.testing.assert_allclose(ours.astype(float), expected.astype(float), rtol=0, atol=tolerance)


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("padding", [0, 1, 12])
@pytest.mark.parametrize("encoding", EXACT)
def test_rgb_is_exact(encoding: str, padding: int, big_endian: bool) -> None:
    samples, picture = EXACT[encoding]
    rgb = to_rgb(image(samples, encoding, padding=padding, big_endian=big_endian))
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    np.testing.assert_array_equal(rgb, picture)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", BAYER)
def test_bayer(encoding: str, padding: int) -> None:
    inner = (slice(1, -1), slice(1, -1))  # OpenCV copies the border from its neighbours
    for colour in ([200, 0, 0], [0, 200, 0], [0, 0, 200], [10, 90, 250]):
        flat = np.full((HEIGHT, WIDTH, 3), colour, np.uint8)
        rgb = to_rgb(image(mosaic(flat, encoding), encoding, padding=padding))
        np.testing.assert_array_equal(rgb[inner], flat[inner])
    picture = smooth()
    for big_endian in (False, True):
        message = image(
            mosaic(picture, encoding), encoding, padding=padding, big_endian=big_endian
        )
        assert_close(to_rgb(message)[inner], picture[inner], 1)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("encoding", YUV)
def test_yuv_is_bt601_limited_range(encoding: str, padding: int) -> None:
    rng = np.random.default_rng(3)
    y = rng.integers(60, 190, (HEIGHT, WIDTH))
    u, v = rng.integers(108, 149, (2, HEIGHT, WIDTH // 2))
    # Full red, known apart from the formula.
    y[0, :2], u[0, 0], v[0, 0] = 81, 90, 240
    order = {"uyvy": (u, y[:, ::2], v, y[:, 1::2]), "yuyv": (y[:, ::2], u, y[:, 1::2], v)}
    samples = np.stack(order[YUV[encoding]], axis=-1).astype(np.uint8).reshape(HEIGHT, WIDTH, 2)

    luma = 1.164 * (y - 16.0)
    cb, cr = (np.repeat(chroma, 2, axis=1) - 128.0 for chroma in (u, v))
    expected = np.dstack([luma + 1.596 * cr, luma - 0.391 * cb - 0.813 * cr, luma + 2.018 * cb])

    rgb = to_rgb(image(samples, encoding, padding=padding))
    assert_close(rgb[0, :2], np.array([[255, 0, 0]] * 2), 2)
    assert_close(rgb, expected.clip(0, 255), 1.5)


def test_rgb8_without_padding_is_a_view() -> None:
    message = image(RGB, "rgb8")
    assert np.shares_memory(to_rgb(message), np.frombuffer(message.data, np.uint8))


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono16"])
def test_last_row_may_lack_its_padding(encoding: str) -> None:
    samples, picture = EXACT[encoding]
    message = image(samples, encoding, padding=4)
    del message.data[-4:]
    np.testing.assert_array_equal(to_rgb(message), picture)
    del message.data[-1:]
    with pytest.raises(ImageCodecError, match="short"):
        to_rgb(message)


def test_one_row_may_have_any_step() -> None:
    message = image(RGB[:1, :, ::-1], "bgr8")
    message.step = 2**32 - 1
    np.testing.assert_array_equal(to_rgb(message), RGB[:1])


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"width": 0}, "empty"),
        ({"height": 0}, "empty"),
        ({"width": 0, "height": 0, "step": 0}, "empty"),
        ({"step": 3 * WIDTH - 1}, "step 23"),
        ({"step": 0}, "step 0"),
        ({"width": 2**32 - 1}, "step"),
        ({"height": HEIGHT + 1}, "short"),
        ({"height": 2**32 - 1}, "short"),
        (
            {"width": 2**32 - 1, "height": 2**32 - 1, "step": 2**32 - 1, "encoding": "mono8"},
            "short",
        ),
        ({"data": array.array("B")}, "not 0"),
        ({"data": array.array("B", bytes(3 * WIDTH * HEIGHT - 1))}, "not 143"),
        ({"encoding": "bgra8"}, "bgra8"),
        ({"encoding": "rgb16"}, "48 bytes"),
        *(({"encoding": yuv, "width": WIDTH - 1}, "width 7 should be even") for yuv in YUV),
        *(({"encoding": bayer, "height": 2}, "8x2") for bayer in BAYER),
        *(({"encoding": bayer, "width": 1}, "1x6") for bayer in BAYER),
        ({"encoding": "8UC2"}, "8UC2"),
        ({"encoding": "RGB8"}, "'RGB8'"),
        ({"encoding": ""}, "''"),
    ],
)
def test_malformed_image_is_refused(fields: dict[str, Any], word: str) -> None:
    message = image(RGB, "rgb8")
    for name, value in fields.items():
        setattr(message, name, value)
    with pytest.raises(ImageCodecError, match=word):
        to_rgb(message)


@pytest.mark.parametrize("encoding", ["rgb8", "mono16", "bayer_rggb8", "64FC1"])
def test_other_encodings_are_not_depth(encoding: str) -> None:
    with pytest.raises(ImageCodecError, match=r"32FC1 \(m\) or 16UC1"):
        to_depth(image(RGB, encoding))


@pytest.mark.parametrize("depth", [16, 8])
@pytest.mark.parametrize("channels", ["grey", "grey alpha", "rgb", "rgba"])
@pytest.mark.parametrize(
    "format_", ["png", "rgb8; png compressed bgr8", "rgb8; png compressed ", ""]
)
def test_png_is_exact(format_: str, channels: str, depth: int) -> None:
    samples = {
        "grey": GREY,
        "grey alpha": np.dstack([GREY, ALPHA]),
        "rgb": RGB,
        "rgba": np.dstack([RGB, ALPHA]),
    }[channels]
    if depth == 16:
        samples = samples * np.uint16(256) + np.uint16(0xA5)
    rgb = to_rgb(compressed(png(samples), format_))
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    np.testing.assert_array_equal(rgb, RGB if "rgb" in channels else np.dstack([GREY] * 3))


@pytest.mark.parametrize(
    "format_",
    [
        "jpeg",
        "jpg",
        "rgb8; jpeg compressed bgr8",
        "bgr8; jpeg compressed bgr8",
        "rgb8; jpeg compressed ",
        "bayer_rggb8; jpeg compressed bgr8",
    ],
)
def test_jpeg_keeps_channel_order(format_: str) -> None:
    assert_close(to_rgb(compressed(jpeg(smooth()), format_)), smooth(), 6)


def test_grey_jpeg() -> None:
    grey = np.dstack([smooth()[..., 0]] * 3)
    data = cv2.imencode(".jpg", grey[..., 0], [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    assert_close(to_rgb(compressed(data, "mono8; jpeg compressed mono8")), grey, 4)


def test_exif_orientation_is_ignored() -> None:
    turned_right = b"Exif\0\0II*\0" + struct.pack("<IHHHIII", 8, 1, 0x0112, 3, 1, 6, 0)
    data = jpeg(smooth(), turned_right)
    obeyed = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert obeyed is not None
    assert obeyed.shape == (64, 40, 3), "the picture does not tell whether orientation counts"
    assert_close(to_rgb(compressed(data, "jpeg")), smooth(), 6)


def test_jpeg_may_be_padded() -> None:
    assert to_rgb(compressed(jpeg(smooth()) + bytes(5000), "jpeg")).shape == smooth().shape


def with_declared_size(data: bytes, width: int, height: int) -> bytes:
    """Rewrite the size in a JPEG's own frame header, past that of a thumbnail."""
    at = data.rindex(b"\xff\xc0") + 5  # OpenCV writes baseline: SOF0
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


JPEG, PNG = jpeg(smooth()), png(RGB)
THUMBNAILED = jpeg(smooth(), b"Exif\0\0" + jpeg(smooth(16, 16)))

BROKEN_PICTURES = {
    "empty": (b"", "jpeg", "0 bytes"),
    "start of a jpeg": (b"\xff\xd8\xff", "jpeg", "EOI"),
    "half a jpeg": (JPEG[: len(JPEG) // 2], "jpeg", "EOI"),
    "jpeg without end": (JPEG[:-2], "jpeg", "EOI"),
    "jpeg whose thumbnail alone ends": (THUMBNAILED[:-2], "jpeg", "EOI"),
    "jpeg without scan": (JPEG[: JPEG.index(b"\xff\xda")] + b"\xff\xd9", "jpeg", "broken"),
    "nothing but marks": (b"\xff\xd8\xff\xd9", "jpeg", "broken"),
    "huge jpeg": (with_declared_size(JPEG, 65000, 64000), "jpeg", "65000x64000"),
    "huge under a thumbnail": (with_declared_size(THUMBNAILED, 65000, 64000), "jpeg", "65000x"),
    "huge after fill bytes": (
        with_declared_size(JPEG, 65000, 64000).replace(b"\xff\xc0", b"\xff\xff\xc0"),
        "jpeg",
        "65000x64000",
    ),
    "png without end": (PNG[:-12], "png", "IEND"),
    "half a png": (PNG[: len(PNG) // 2], "png", "IEND"),
    "damaged png": (PNG[:60] + bytes(20) + PNG[80:], "png", "broken"),
    "png of nothing": (PNG[:8] + PNG[-12:], "png", "broken"),
    "huge png": (PNG[:16] + struct.pack(">II", 10**5, 10**4) + PNG[24:], "png", "100000x10000"),
    "raw pixels": (RGB.tobytes(), "jpeg", "signature"),
    "gif": (b"GIF89a" + bytes(50), "gif", "signature"),
    "depth": (PNG, "16UC1; compressedDepth png", "is depth"),
}


@pytest.mark.parametrize("case", BROKEN_PICTURES)
def test_broken_compressed_picture_is_refused(case: str) -> None:
    data, format_, word = BROKEN_PICTURES[case]
    with pytest.raises(ImageCodecError, match=word):
        to_rgb(compressed(data, format_))


def test_thumbnail_does_not_count_as_the_end() -> None:
    assert to_rgb(compressed(THUMBNAILED, "jpeg")).shape == smooth().shape


def test_any_damage_is_an_image_codec_error() -> None:
    rng = np.random.default_rng(11)
    depth = encode_compressed_depth(np.full((HEIGHT, WIDTH), 3, np.float32), Header())
    sources = (
        (JPEG, "jpeg", to_rgb),
        (PNG, "png", to_rgb),
        (depth.data.tobytes(), depth.format, to_depth),
    )
    refused = 0
    for data, format_, read in sources * 200:
        damaged = bytearray(data[: rng.integers(1, 2 * len(data))])
        for at in rng.integers(0, len(damaged), rng.integers(0, 4)):
            damaged[at] = rng.integers(256)
        try:
            assert read(compressed(bytes(damaged), format_)).size
        except ImageCodecError:
            refused += 1
    assert 100 < refused < 500  # some damage shows only as wrong colours


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("padding", [0, 2, 5])
def test_depth_is_metres_or_nan(padding: int, big_endian: bool) -> None:
    floats = np.array([[0.5, 80, NAN, np.inf], [-np.inf, 0, -2, 1e-3]], np.float32)
    expected = np.array([[0.5, 80, NAN, NAN], [NAN, NAN, NAN, 1e-3]], np.float32)
    message = image(floats[..., None], "32FC1", padding=padding, big_endian=big_endian)
    depth = to_depth(message)
    np.testing.assert_array_equal(depth, expected)
    assert depth.dtype == np.float32
    assert depth.dtype.isnative
    assert not np.shares_memory(depth, np.frombuffer(message.data, np.uint8))

    millimetres = np.array([[0, 1, 256], [1234, 65535, 5000]], np.uint16)
    message = image(millimetres[..., None], "16UC1", padding=padding, big_endian=big_endian)
    expected = np.array([[NAN, 0.001, 0.256], [1.234, 65.535, 5]], np.float32)
    np.testing.assert_array_equal(to_depth(message), expected)
    assert to_depth(message).dtype == np.float32


DEPTH = np.array([[0.5, 12.3456, 80], [65.535, 65.5354, 1e-5], [NAN, -1, np.inf]], np.float32)


def test_depth_to_image_32fc1_round_trip() -> None:
    header = Header(frame_id="camera")
    message = depth_to_image(DEPTH, header, "32FC1")
    assert message.header is header
    assert (message.height, message.width, message.step) == (3, 3, 12)
    assert (message.encoding, message.is_bigendian) == ("32FC1", 0)
    assert message.data.tobytes() == struct.pack("<9f", *DEPTH.flat)
    known = (DEPTH > 0) & np.isfinite(DEPTH)
    np.testing.assert_array_equal(to_depth(message), np.where(known, DEPTH, NAN))


def test_depth_to_image_16uc1_is_rounded_millimetres() -> None:
    message = depth_to_image(DEPTH, Header(), "16UC1")
    assert (message.encoding, message.step) == ("16UC1", 6)
    assert message.data.tobytes() == struct.pack("<9H", 500, 12346, 0, 65535, 0, 0, 0, 0, 0)


def test_nearness_is_mono8_which_no_reader_of_depth_takes() -> None:
    near = np.array([[0, 0.5, 1], [0.001, 0.999, NAN]], np.float32)
    message = nearness_to_image(near, Header(frame_id="front"))
    assert (message.encoding, message.step, message.header.frame_id) == ("mono8", 3, "front")
    assert list(message.data) == [1, 128, 255, 1, 255, 0]
    with pytest.raises(ImageCodecError, match="is not depth"):
        to_depth(message)


def test_writers_take_pictures_that_are_not_contiguous() -> None:
    header = Header(frame_id="camera")
    message = rgb_to_image(RGB[::2, :, ::-1], header)
    assert message.header is header
    assert (message.encoding, message.is_bigendian, message.step) == ("rgb8", 0, 3 * WIDTH)
    assert message.data.tobytes() == RGB[::2, :, ::-1].tobytes()
    assert isinstance(message.data, array.array)
    np.testing.assert_array_equal(to_rgb(message), RGB[::2, :, ::-1])
    np.testing.assert_array_equal(
        to_depth(depth_to_image(DEPTH[:1].T, header, "32FC1")), DEPTH[:1].T
    )


def test_writers_refuse_other_arrays() -> None:
    pictures: list[Any] = [RGB[..., 0], RGB.astype(float), np.dstack([RGB, ALPHA]), RGB[:0]]
    depths: list[Any] = [DEPTH.astype(np.float64), DEPTH[0], DEPTH[:0]]
    for rgb in pictures:
        with pytest.raises(ImageCodecError, match="RGB"):
            rgb_to_image(rgb, Header())
    for depth in depths:
        with pytest.raises(ImageCodecError, match="float32"):
            depth_to_image(depth, Header(), "32FC1")
        with pytest.raises(ImageCodecError, match="float32"):
            encode_compressed_depth(depth, Header())
    with pytest.raises(ImageCodecError, match="'mono8'"):
        depth_to_image(DEPTH, Header(), "mono8")  # type: ignore[arg-type]
    for bad in (0.0, -1.0, NAN, float("inf")):
        with pytest.raises(ImageCodecError, match="positive"):
            encode_compressed_depth(DEPTH, Header(), depth_max=bad)
        with pytest.raises(ImageCodecError, match="positive"):
            encode_compressed_depth(DEPTH, Header(), depth_quantization=bad)


@pytest.mark.parametrize("format_", ["32FC1; compressedDepth png", "32FC1; compressedDepth"])
def test_compressed_depth_by_hand(format_: str) -> None:
    # q = 100 and 100 m: A = 100 * 101 = 10100, B = 1 - 10100 / 100 = -100, depth = A / (v - B)
    coded = np.array([[0, 1, 910, 65535]], np.uint16)[..., None]
    data = struct.pack("<iff", 0, 10100, -100) + png(coded)
    expected = [[NAN, 100, 10, 10100 / 65635]]
    np.testing.assert_allclose(to_depth(compressed(data, format_)), expected, rtol=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [(100, 5, [NAN, NAN, 100, 50]), (3e38, 4.5, [NAN, NAN, 2e38, 1.2e38])],
)
def test_compressed_depth_at_its_pole_is_nan(a: float, b: float, expected: list[float]) -> None:
    data = struct.pack("<iff", 0, a, b) + png(np.array([[4, 5, 6, 7]], np.uint16)[..., None])
    depth = to_depth(compressed(data, "32FC1; compressedDepth png"))
    np.testing.assert_allclose(depth, [expected], rtol=1e-6)


@pytest.mark.parametrize("format_", ["16UC1; compressedDepth png", "16UC1; compressedDepth"])
def test_compressed_millimetres(format_: str) -> None:
    data = bytes(12) + png(np.array([[0, 1, 12345]], np.uint16)[..., None])
    expected = np.array([[NAN, 0.001, 12.345]], np.float32)
    np.testing.assert_array_equal(to_depth(compressed(data, format_)), expected)


def test_encode_compressed_depth_by_hand() -> None:
    header = Header(frame_id="camera")
    depth = np.array([[10, 50, 61, 99.99, 100, NAN]], np.float32)
    message = encode_compressed_depth(depth, header)
    assert message.header is header
    assert message.format == "32FC1; compressedDepth png"
    data = message.data.tobytes()
    assert struct.unpack("<iff", data[:12]) == (0, 10100, -100)
    coded = cv2.imdecode(np.frombuffer(data[12:], np.uint8), cv2.IMREAD_UNCHANGED)
    assert coded is not None
    assert coded.dtype == np.uint16
    assert coded.tolist() == [[910, 102, 66, 1, 0, 0]]  # 10100 / 61 - 100 is 65.57


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("depth_max", "quantization"), [(100.0, 100.0), (10.0, 75.0), (250.0, 20.0)]
)
def test_compressed_depth_round_trip(depth_max: float, quantization: float) -> None:
    def there_and_back(depth: NDArray[Any]) -> NDArray[np.float32]:
        message = encode_compressed_depth(
            depth.astype(np.float32),
            Header(),
            depth_max=depth_max,
            depth_quantization=quantization,
        )
        return to_depth(message)

    a = quantization * (quantization + 1)
    nearest = a / (65535 - 1 + a / depth_max)
    depth = np.geomspace(1.01 * nearest, 0.99 * depth_max, 48).reshape(6, 8)
    # Half a step of inverse depth is 1 / 2A, so depth errs by d / 2A of itself, to first order.
    half_step = depth / (2 * a)
    error = np.abs(there_and_back(depth) / depth - 1)
    assert (error <= 1.02 * half_step / (1 - half_step) + 1e-5).all()

    unknown = [NAN, np.inf, -np.inf, 0, -3, 1e-40, 0.5 * nearest, depth_max, 2 * depth_max]
    assert np.isnan(there_and_back(np.array([unknown]))).all()


DEPTH_PNG = png(np.full((HEIGHT, WIDTH, 1), 910, np.uint16))
DEPTH_HEAD = struct.pack("<iff", 0, 10100, -100)


BROKEN_DEPTH = {
    "empty": (b"", "32FC1; compressedDepth png", "0 bytes"),
    "header alone": (DEPTH_HEAD, "32FC1; compressedDepth png", "0 bytes"),
    "half a header": (DEPTH_HEAD[:5], "16UC1; compressedDepth png", "0 bytes"),
    "no header": (DEPTH_PNG, "32FC1; compressedDepth png", "signature"),
    "cut off": (DEPTH_HEAD + DEPTH_PNG[:-12], "32FC1; compressedDepth png", "IEND"),
    "8 bits": (DEPTH_HEAD + png(GREY), "16UC1; compressedDepth png", "uint8"),
    "colour": (DEPTH_HEAD + png(RGB * np.uint16(257)), "16UC1; compressedDepth png", "8, 3"),
    "A is NaN": (struct.pack("<iff", 0, NAN, 0) + DEPTH_PNG, "32FC1; compressedDepth", "A=nan"),
    "A is 0": (struct.pack("<iff", 0, 0, 0) + DEPTH_PNG, "32FC1; compressedDepth", "A=0"),
    "B is inf": (struct.pack("<iff", 0, 1, np.inf) + DEPTH_PNG, "32FC1; compressedDepth", "B=inf"),
    "rvl": (DEPTH_HEAD + DEPTH_PNG, "32FC1; compressedDepth rvl", "rvl"),
    "mono8": (DEPTH_HEAD + DEPTH_PNG, "mono8; compressedDepth png", "mono8"),
    "format png": (DEPTH_PNG, "png", "'png'"),
    "plain png": (DEPTH_PNG, "16UC1; png compressed ", "compressedDepth"),
    "colour picture": (JPEG, "rgb8; jpeg compressed bgr8", "compressedDepth"),
}


@pytest.mark.parametrize("case", BROKEN_DEPTH)
def test_broken_compressed_depth_is_refused(case: str) -> None:
    data, format_, word = BROKEN_DEPTH[case]
    with pytest.raises(ImageCodecError, match=word):
        to_depth(compressed(data, format_))


def test_rosbags_messages() -> None:
    typesys = pytest.importorskip("rosbags.typesys")
    store = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)
    types = store.types
    stamp = types["builtin_interfaces/msg/Time"](sec=1, nanosec=2)
    header = types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera")

    def recorded(name: str, message: Any) -> Any:
        """Send a message's fields through a rosbags type and its serialised form."""
        fields = {field: getattr(message, field) for field in message.get_fields_and_field_types()}
        fields |= {"header": header, "data": np.frombuffer(message.data, np.uint8)}
        return store.deserialize_cdr(store.serialize_cdr(types[name](**fields), name), name)

    for encoding, padding in (("rgb8", 0), ("bgr8", 5), ("mono16", 3)):
        samples, picture = EXACT[encoding]
        message = recorded("sensor_msgs/msg/Image", image(samples, encoding, padding=padding))
        np.testing.assert_array_equal(to_rgb(message), picture)
    message = recorded("sensor_msgs/msg/Image", image(DEPTH[..., None], "32FC1"))
    known = (DEPTH > 0) & np.isfinite(DEPTH)
    np.testing.assert_array_equal(to_depth(message), np.where(known, DEPTH, NAN))
    message = recorded("sensor_msgs/msg/CompressedImage", compressed(PNG, "rgb8; png compressed"))
    np.testing.assert_array_equal(to_rgb(message), RGB)
    ten_metres = compressed(DEPTH_HEAD + DEPTH_PNG, "32FC1; compressedDepth png")
    message = recorded("sensor_msgs/msg/CompressedImage", ten_metres)
    np.testing.assert_array_equal(to_depth(message), np.full((HEIGHT, WIDTH), 10, np.float32))


@pytest.mark.parametrize(("quality", "tolerance"), [(100, 4), (95, 6), (50, 25)])
def test_jpeg_as_image_transport_writes_it(quality: int, tolerance: int) -> None:
    picture = smooth()
    header = Header(frame_id="front")
    message = rgb_to_compressed(picture, header, quality=quality)
    assert message.header == header
    assert message.format == "rgb8; jpeg compressed bgr8"
    # what foreign subscribers do: cv2.imdecode, which answers BGR
    theirs = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
    assert_close(theirs[..., ::-1], picture, tolerance)
    assert_close(to_rgb(message), picture, tolerance)


def test_quality_is_worth_its_bytes() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    sizes = [len(rgb_to_compressed(noise, Header(), quality=q).data) for q in (1, 30, 95, 100)]
    assert sizes == sorted(sizes)
    assert len(rgb_to_compressed(noise, Header()).data) == sizes[2]


@pytest.mark.parametrize("quality", [0, -1, 101])
def test_no_such_quality(quality: int) -> None:
    with pytest.raises(ImageCodecError, match="should be 1 to 100"):
        rgb_to_compressed(RGB, Header(), quality=quality)


def test_only_rgb_is_compressed() -> None:
    with pytest.raises(ImageCodecError, match="an RGB picture is uint8"):
        rgb_to_compressed(RGB[..., 0], Header())


def test_reading_needs_no_ros() -> None:
    program = """
import sys
sys.modules.update(dict.fromkeys(["rclpy", "sensor_msgs", "std_msgs", "cv_bridge"]))
from types import SimpleNamespace
from depth_dpt_ros.image_codec import to_rgb
fields = dict(height=1, width=2, is_bigendian=0, step=6, data=bytes([1, 2, 3, 4, 5, 6]))
print(to_rgb(SimpleNamespace(encoding="bgr8", **fields)).tolist())
try:
    to_rgb(SimpleNamespace(encoding="nv12", **fields))
except ValueError as error:
    print(error)
"""
    root = str(Path(image_codec.__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    output = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": path},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert output[0] == "[[[3, 2, 1], [6, 5, 4]]]"
    assert "'nv12'" in output[1]
    assert all(encoding in output[1] for encoding in (*EXACT, *BAYER, *YUV))


@pytest.mark.parametrize("encoding", [*(n for n in EXACT if "UC" not in n), *BAYER, *YUV])
def test_same_as_cv_bridge(encoding: str) -> None:
    bridge = pytest.importorskip("cv_bridge").CvBridge()
    if encoding in EXACT:
        samples = EXACT[encoding][0]
    elif encoding in BAYER:
        samples = mosaic(smooth(), encoding)
    else:
        samples = np.random.default_rng(5).integers(16, 236, (HEIGHT, WIDTH, 2)).astype(np.uint8)
    message = image(samples, encoding)
    try:
        theirs = bridge.imgmsg_to_cv2(message, "rgb8")
    except (TypeError, LookupError, AttributeError, ImportError) as error:
        # Which encodings it handles depends on its release, and so does how it refuses.
        pytest.skip(f"cv_bridge: {error!r}")
    # It scales 16 bits by 255 / 65535 and rounds, which is within 1 of the high byte.
    exact = encoding in EXACT and not encoding.endswith("16")
    assert_close(to_rgb(message), theirs, 0 if exact else 2)


def test_cv_bridge_failure_is_an_image_codec_error() -> None:
    pytest.importorskip("cv_bridge")
    with pytest.raises(ImageCodecError, match="8UC2"):
        to_rgb(image(RGB[..., :2], "8UC2"))
