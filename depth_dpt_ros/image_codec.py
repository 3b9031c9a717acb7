# SPDX-License-Identifier: Apache-2.0
"""Conversion between sensor_msgs images and numpy arrays.

Reading takes ROS messages and those of the rosbags library alike, and refuses what it cannot
read with ImageCodecError. Only writing needs sensor_msgs, so that bags can be read without ROS.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, cast, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sensor_msgs.msg import CompressedImage, Image
    from std_msgs.msg import Header


class ImageCodecError(ValueError):
    """A picture cannot be converted; the text names the values and what would be right."""


@runtime_checkable
class ImageLike(Protocol):
    """What is read of a sensor_msgs/Image; data is any flat buffer of bytes."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any


@runtime_checkable
class CompressedImageLike(Protocol):
    """What is read of a sensor_msgs/CompressedImage; data is any flat buffer of bytes."""

    format: str
    data: Any


class _Layout(NamedTuple):
    """How an encoding lays out a pixel, and the OpenCV code that makes it RGB."""

    dtype: str
    channels: int
    code: int | None  # None: it is RGB already
    even_width: bool = False
    smallest_side: int = 1


# Encodings that exist with 8 and with 16 bits
_COLOUR_ORDERS = {
    "rgb": (3, None),
    "bgr": (3, cv2.COLOR_BGR2RGB),
    "rgba": (4, cv2.COLOR_RGBA2RGB),
    "bgra": (4, cv2.COLOR_BGRA2RGB),
    "mono": (1, cv2.COLOR_GRAY2RGB),
}
# ROS names a pattern from the top left pixel on, OpenCV from the second of the second row.
_BAYER_PATTERNS = {
    "bayer_rggb": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg": cv2.COLOR_BayerGB2RGB,
}
_COLOUR_LAYOUTS = {
    **{
        f"{name}{8 * size}": _Layout(f"u{size}", channels, code)
        for name, (channels, code) in _COLOUR_ORDERS.items()
        for size in (1, 2)
    },
    **{  # OpenCV answers a black picture to a mosaic with a side under 3 pixels
        f"{name}{8 * size}": _Layout(f"u{size}", 1, code, smallest_side=3)
        for name, code in _BAYER_PATTERNS.items()
        for size in (1, 2)
    },
    "8UC1": _Layout("u1", 1, cv2.COLOR_GRAY2RGB),
    "8UC3": _Layout("u1", 3, cv2.COLOR_BGR2RGB),
    "8UC4": _Layout("u1", 4, cv2.COLOR_BGRA2RGB),
    "uyvy": _Layout("u1", 2, cv2.COLOR_YUV2RGB_UYVY, even_width=True),
    "yuv422": _Layout("u1", 2, cv2.COLOR_YUV2RGB_UYVY, even_width=True),
    "yuyv": _Layout("u1", 2, cv2.COLOR_YUV2RGB_YUY2, even_width=True),
    "yuv422_yuy2": _Layout("u1", 2, cv2.COLOR_YUV2RGB_YUY2, even_width=True),
}
_DEPTH_LAYOUTS = {"32FC1": ("f4", 1), "16UC1": ("u2", 1000)}  # dtype, units per metre

_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xae\x42\x60\x82"
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# A few hundred bytes can declare gigabytes; no camera on a vehicle has this many.
_MAX_COMPRESSED_PIXELS = 1 << 26
_DEPTH_HEADER = struct.Struct("<iff")  # format enum, of which 0 is inverse depth; A; B


def to_rgb(msg: ImageLike | CompressedImageLike) -> NDArray[np.uint8]:
    """Return the picture as [H, W, 3] RGB, C-contiguous; 16-bit samples keep their high byte.

    An rgb8 image without row padding comes back as a view of msg.data, without a copy. YUV is
    taken as BT.601 limited range, alpha is dropped, EXIF orientation ignored. An encoding
    that is unknown here goes to cv_bridge where there is one.

    Raises:
        ImageCodecError: msg is malformed, broken, or in an encoding that nothing here reads.
    """
    if isinstance(msg, CompressedImageLike):
        return _compressed_to_rgb(msg)
    if msg.encoding not in _COLOUR_LAYOUTS:
        return _cv_bridge_to_rgb(msg)
    layout = _COLOUR_LAYOUTS[msg.encoding]
    pixels = _pixels(msg, layout.dtype, layout.channels)
    if layout.even_width and msg.width % 2:
        raise ImageCodecError(
            f"{msg.encoding} shares colour within pixel pairs: width {msg.width} should be even"
        )
    if min(msg.width, msg.height) < layout.smallest_side:
        raise ImageCodecError(
            f"{msg.width}x{msg.height} pixels are too few to tell colours from {msg.encoding}: no "
            f"side should be under {layout.smallest_side}"
        )
    return _to_rgb8(pixels, layout.code)


def to_depth(msg: ImageLike | CompressedImageLike) -> NDArray[np.float32]:
    """Return depth as [H, W] metres in fresh memory, NaN where msg has none (0, negative, inf).

    Reads 32FC1 (metres) and 16UC1 (millimetres), raw or as compressedDepth PNG.

    Raises:
        ImageCodecError: msg is malformed, broken, or not such depth.
    """
    if isinstance(msg, CompressedImageLike):
        return _compressed_to_depth(msg)
    if msg.encoding not in _DEPTH_LAYOUTS:
        raise ImageCodecError(
            f"encoding {msg.encoding!r} is not depth, which is 32FC1 (m) or 16UC1 (mm)"
        )
    dtype, units_per_metre = _DEPTH_LAYOUTS[msg.encoding]
    return _metres(_pixels(msg, dtype, 1)[..., 0], units_per_metre)


def rgb_to_image(rgb: NDArray[np.uint8], header: Header) -> Image:
    """Return [H, W, 3] RGB as an rgb8 message that shares header."""
    _check_rgb(rgb)
    return _image(rgb, "rgb8", header)


def rgb_to_compressed(
    rgb: NDArray[np.uint8], header: Header, *, quality: int = 95
) -> CompressedImage:
    """Return [H, W, 3] RGB as a JPEG message that shares header.

    The format says what image_transport's compressed plugin says of an rgb8 image; its default
    quality, of 1 to 100, is 95.
    """
    _check_rgb(rgb)
    if not 1 <= quality <= 100:
        raise ImageCodecError(f"JPEG quality {quality} should be 1 to 100")
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])

    from sensor_msgs.msg import CompressedImage

    message = CompressedImage(header=header, format="rgb8; jpeg compressed bgr8")
    message.data.frombytes(jpeg)
    return message


def depth_to_image(
    depth: NDArray[np.float32], header: Header, encoding: Literal["32FC1", "16UC1"]
) -> Image:
    """Return [H, W] metres as a depth message that shares header.

    32FC1 holds depth as it is; 16UC1 holds it in whole millimetres, 0 where depth is NaN or
    outside (0, 65.535] m.
    """
    _check_depth(depth)
    if encoding == "32FC1":
        return _image(depth.astype("<f4", copy=False), encoding, header)
    if encoding == "16UC1":
        known = (depth > 0) & (depth <= np.float32(65.535))
        return _image(np.rint(np.where(known, depth, 0) * 1000).astype("<u2"), encoding, header)
    raise ImageCodecError(f"depth is published as 32FC1 or 16UC1, not {encoding!r}")


def nearness_to_image(nearness: NDArray[np.float32], header: Header) -> Image:
    """Return [H, W] from 0 far to 1 near as mono8: 1 far to 255 near, 0 where it is NaN."""
    levels = np.nan_to_num(np.rint(1 + 254 * nearness), nan=0)
    return _image(levels.astype(np.uint8), "mono8", header)


class ReusedImage:
    """An Image message that is kept from frame to frame and written in place.

    Publishing copies it, so that it may be written again; a copy into it is spared, and memory.
    """

    def __init__(self, encoding: Literal["32FC1", "rgb8"]) -> None:
        self._encoding = encoding
        self._pixels: NDArray[Any] | None = None
        self._message: Image | None = None

    def pixels(self, height: int, width: int) -> NDArray[Any]:
        """The picture to write, [H,W] metres or [H,W,3] RGB; holds what was written before."""
        shape = (height, width) if self._encoding == "32FC1" else (height, width, 3)
        if self._pixels is None or self._pixels.shape != shape:
            dtype = "<f4" if self._encoding == "32FC1" else "u1"
            self._message = _image(np.zeros(shape, dtype), self._encoding, None)
            self._pixels = np.frombuffer(self._message.data, dtype).reshape(shape)
        return self._pixels

    def message(self, header: Header) -> Image:
        """The picture as it is now, under a header."""
        assert self._message is not None, "pixels come first"
        self._message.header = header
        return self._message


def encode_compressed_depth(
    depth: NDArray[np.float32],
    header: Header,
    *,
    depth_max: float = 100.0,
    depth_quantization: float = 100.0,
) -> CompressedImage:
    """Return [H, W] metres as a "32FC1; compressedDepth png" message that shares header.

    What is quantised is inverse depth: at d metres the steps are d² / (q² + q) metres for
    q = depth_quantization. NaN, depth_max and beyond, and depth too near for 16 bits (under
    0.154 m by default) become 0, which says unknown.
    """
    _check_depth(depth)
    if not (0 < depth_max < np.inf and 0 < depth_quantization < np.inf):
        raise ImageCodecError(
            f"depth_max {depth_max} and depth_quantization {depth_quantization} should both be "
            "positive and finite"
        )
    a = depth_quantization * (depth_quantization + 1)
    b = 1 - a / depth_max
    known = (depth > 0) & (depth < depth_max)
    # Rounded to nearest: image_transport_plugins truncates, which pushes every depth outward.
    with np.errstate(over="ignore"):
        coded = np.rint(a / np.where(known, depth, depth_max) + b)
    coded[~known | (coded > 0xFFFF)] = 0
    _, png = cv2.imencode(".png", coded.astype(np.uint16))

    from sensor_msgs.msg import CompressedImage

    message = CompressedImage(header=header, format="32FC1; compressedDepth png")
    message.data.frombytes(_DEPTH_HEADER.pack(0, a, b))
    message.data.frombytes(png)
    return message


def _pixels(msg: ImageLike, dtype: str, channels: int) -> NDArray[Any]:
    """Return msg.data, its sizes checked, as a view [H, W, channels] without row padding."""
    sample = np.dtype(dtype).newbyteorder(">" if msg.is_bigendian else "<")
    pixel_bytes = channels * sample.itemsize
    row_bytes = msg.width * pixel_bytes
    if msg.width < 1 or msg.height < 1:
        raise ImageCodecError(
            f"an image of {msg.width}x{msg.height} pixels is empty: both should be at least 1"
        )
    if msg.step < row_bytes:
        raise ImageCodecError(
            f"step {msg.step} is too small: {msg.width} pixels of {msg.encoding} take "
            f"{row_bytes} bytes"
        )
    held = memoryview(msg.data).nbytes
    if held < msg.step * (msg.height - 1) + row_bytes:  # some drivers cut the last padding off
        raise ImageCodecError(
            f"data is too short: {msg.height} rows of step {msg.step} take "
            f"{msg.height * msg.step} bytes, not {held}"
        )
    shape, strides = (msg.height, msg.width, channels), (msg.step, pixel_bytes, sample.itemsize)
    view: NDArray[Any] = np.ndarray(shape, sample, msg.data, strides=strides)
    return view


def _to_rgb8(pixels: NDArray[Any], code: int | None) -> NDArray[np.uint8]:
    if pixels.dtype.itemsize == 2:
        pixels = (pixels >> 8).astype(np.uint8)
    if code is None:
        return np.ascontiguousarray(pixels)
    return cast("NDArray[np.uint8]", cv2.cvtColor(pixels, code))


def _cv_bridge_to_rgb(msg: ImageLike) -> NDArray[np.uint8]:
    try:
        from cv_bridge import CvBridge

        return np.ascontiguousarray(CvBridge().imgmsg_to_cv2(msg, "rgb8"), np.uint8)
    except ImportError:
        raise ImageCodecError(
            f"encoding {msg.encoding!r} is not supported without cv_bridge; it should be one of "
            + ", ".join(_COLOUR_LAYOUTS)
        ) from None
    except Exception as error:  # its bindings raise nearly anything, even KeyError
        raise ImageCodecError(
            f"cv_bridge cannot convert encoding {msg.encoding!r} to rgb8: {error!r}"
        ) from error


def _compressed_to_rgb(msg: CompressedImageLike) -> NDArray[np.uint8]:
    if "compressedDepth" in msg.format:
        raise ImageCodecError(f"format {msg.format!r} is depth, where a colour picture is right")
    picture = _decode(bytes(msg.data), msg.format)
    # imdecode answers BGR, whatever order the format string says the samples once had.
    return _to_rgb8(picture, cv2.COLOR_GRAY2RGB if picture.ndim == 2 else cv2.COLOR_BGR2RGB)


def _compressed_to_depth(msg: CompressedImageLike) -> NDArray[np.float32]:
    encoding, _, transport = (part.strip() for part in msg.format.partition(";"))
    png_names = ("compressedDepth png", "compressedDepth")  # the latter before RVL existed
    if encoding not in _DEPTH_LAYOUTS or transport not in png_names:
        raise ImageCodecError(
            f"format {msg.format!r} is not depth that can be read, which is "
            "'32FC1; compressedDepth png' or '16UC1; compressedDepth png'"
        )
    data = bytes(msg.data)
    coded = _decode(data[_DEPTH_HEADER.size :], msg.format)
    if coded.ndim != 2 or coded.dtype != np.uint16:
        raise ImageCodecError(
            f"compressedDepth should hold a grey 16-bit PNG, not {coded.dtype} {coded.shape}"
        )
    if encoding == "16UC1":
        return _metres(coded, _DEPTH_LAYOUTS[encoding][1])
    _, a, b = _DEPTH_HEADER.unpack_from(data)
    if not (0 < a < np.inf and -np.inf < b < np.inf):
        raise ImageCodecError(
            f"compressedDepth quantised with A={a}, B={b} has no depth: A should be positive, "
            "both finite"
        )
    with np.errstate(divide="ignore", over="ignore"):
        depth = np.float32(a) / (coded - np.float32(b))
    depth[coded == 0] = np.nan
    return _metres(depth, 1)


def _metres(depth: NDArray[Any], units_per_metre: int) -> NDArray[np.float32]:
    """Return a copy in metres, NaN wherever depth is not positive and finite."""
    metres = depth.astype(np.float32)
    if units_per_metre != 1:
        metres /= units_per_metre
    metres[~((metres > 0) & (metres < np.inf))] = np.nan
    return metres


def _decode(data: bytes, format_: str) -> NDArray[Any]:
    """Return a JPEG or PNG as grey [H, W] or BGR [H, W, 3], uint8 or uint16."""
    if not _is_whole(data):
        raise ImageCodecError(
            f"{len(data)} bytes of format {format_!r} are not a whole JPEG or PNG: they should "
            "run from its signature to its end marker (EOI, IEND)"
        )
    width, height = _declared_size(data)
    if width * height > _MAX_COMPRESSED_PIXELS:
        raise ImageCodecError(
            f"a compressed picture of {width}x{height} is too large: "
            f"it should have at most {_MAX_COMPRESSED_PIXELS} pixels"
        )
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        picture: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        picture = None
    if picture is None:
        raise ImageCodecError(f"{len(data)} bytes of format {format_!r} hold a broken picture")
    return picture


def _is_whole(data: bytes) -> bool:
    """Tell whether a JPEG or PNG has its end: some OpenCV paint what is missing grey."""
    if data.startswith(_PNG_START):
        return _PNG_END in data
    # Cameras pad after the end, and a thumbnail in the header has an end of its own.
    end = data.rfind(_JPEG_END)
    return data.startswith(_JPEG_START) and end > 0 and data.find(_JPEG_SCAN, end) < 0


def _declared_size(data: bytes) -> tuple[int, int]:
    """Return the width and height that a whole JPEG or PNG states, (0, 0) if it does not."""
    if data.startswith(_PNG_START):
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF or data[at + 1] == 0xFF:  # filling before a marker
            at += 1
        elif data[at + 1] in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0, 0


def _image(pixels: NDArray[Any], encoding: str, header: Header | None) -> Image:
    """Return [H, W, ...] little-endian pixels as a message without row padding."""
    from sensor_msgs.msg import Image

    message = Image(header=header, encoding=encoding, is_bigendian=0)
    message.height, message.width = pixels.shape[:2]
    message.step = pixels.nbytes // message.height
    # Assigning data has some distributions walk every element in Python; this never does.
    message.data.frombytes(np.ascontiguousarray(pixels).view(np.uint8))
    return message


def _check_rgb(rgb: NDArray[Any]) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
        raise ImageCodecError(f"an RGB picture is uint8 (H, W, 3), not {rgb.dtype} {rgb.shape}")


def _check_depth(depth: NDArray[Any]) -> None:
    if depth.ndim != 2 or depth.dtype != np.float32 or not depth.size:
        raise ImageCodecError(f"depth is float32 (H, W), not {depth.dtype} {depth.shape}")
