"""What files say of themselves: their length behind an address, how they are shown, when they end."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from fractions import Fraction
from http.server import BaseHTTPRequestHandler
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from rtmpose_sdk import open_source
from rtmpose_sdk.errors import SourceError
from rtmpose_sdk.sources import Frame
from rtmpose_sdk.upright import upright

av = pytest.importorskip("av")

Answer = Callable[[BaseHTTPRequestHandler], None]


def picture(index: int) -> np.ndarray:
    """(48,64,3): another colour in each quarter, and the first becomes brighter."""
    image = np.full((48, 64, 3), 40, np.uint8)
    image[:24, :32] = 150 + index % 20 * 5
    image[:24, 32:] = (220, 30, 30)
    image[24:, 32:] = (30, 220, 30)
    return image


def make_video(
    path: Path,
    count: int,
    codec: str = "mpeg4",
    sound: float = 0,
    **options: str,
) -> Path:
    """`count` frames at 10 a second, with so many seconds of sound."""
    with av.open(str(path), "w", options=options) as out:
        stream = out.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        heard = out.add_stream("pcm_s16le", rate=8000) if sound else None
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(picture(index), format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if heard is not None:
            samples = np.zeros((1, round(sound * 8000)), np.int16)
            one = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            one.sample_rate, one.pts = 8000, 0
            out.mux(heard.encode(one))
            out.mux(heard.encode(None))
    return path


def send(data: bytes, *headers: tuple[str, object]) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        for name, value in headers:
            handler.send_header(name, str(value))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


@pytest.mark.parametrize(
    ("name", "codec", "options"), [("v.webm", "libvpx", {"live": "1"}), ("v.h264", "libx264", {})]
)
def test_a_file_behind_an_address_without_duration_ends(
    tmp_path: Path, serve: Callable[[Answer], str], name: str, codec: str, options: dict[str, str]
) -> None:
    """As a browser records, and as an encoder writes: the server says how long it is, the file does not."""
    data = make_video(tmp_path / name, 12, codec, **options).read_bytes()
    whole = open_source(serve(send(data, ("Content-Length", len(data)))), time_limit=3)
    with whole as source, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not source.live
        assert [f.index for f in islice(source, 100)] == list(range(12))


def test_a_file_behind_an_address_that_breaks_off_is_not_begun_anew(
    tmp_path: Path, serve: Callable[[Answer], str]
) -> None:
    data = make_video(tmp_path / "v.webm", 12, "libvpx", live="1").read_bytes()
    frames: list[Frame] = []
    with (
        open_source(
            serve(send(data[: len(data) // 2], ("Content-Length", len(data)))), time_limit=3
        ) as source,
        pytest.raises(
            SourceError, match=r"broken after .* are good|not one frame .* did the connection break\?"
        ),
    ):
        frames.extend(islice(source, 100))
    assert len(frames) < 12


def test_streams_of_no_or_a_made_up_length_are_live(tmp_path: Path, serve: Callable[[Answer], str]) -> None:
    data = make_video(tmp_path / "v.webm", 12, "libvpx", live="1").read_bytes()
    with open_source(serve(send(data)), time_limit=3) as source:
        assert source.live
    jpeg = cv2.imencode(".jpg", picture(0))[1].tobytes()
    part = b"--x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(jpeg), jpeg)
    segment = make_video(tmp_path / "v.ts", 30, "mpeg2video").read_bytes()
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:3,\n/v.ts\n"

    def hls(handler: BaseHTTPRequestHandler) -> None:
        kind = ("Content-Type", "application/vnd.apple.mpegurl")
        what = (segment,) if handler.path == "/v.ts" else (playlist, kind)
        send(*what, ("Content-Length", len(what[0])))(handler)

    with open_source(serve(hls), time_limit=3) as source:
        assert source.live
    kind = ("Content-Type", "multipart/x-mixed-replace; boundary=x")
    with open_source(serve(send(part * 5, kind, ("Content-Length", 10**9))), time_limit=3) as source:
        assert source.live


def as_shown(image: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Pixel after pixel: what is at (x, y) goes to (a x + c y, b x + d y)."""
    a, b, c, d = matrix
    places = {
        (a * x + c * y, b * x + d * y): image[y, x]
        for y in range(image.shape[0])
        for x in range(image.shape[1])
    }
    left, top = (min(place[i] for place in places) for i in (0, 1))
    width, height = (max(place[i] for place in places) - low + 1 for i, low in ((0, left), (1, top)))
    shown = np.zeros((height, width, 3), image.dtype)
    for (x, y), colour in places.items():
        shown[y - top, x - left] = colour
    return shown


EIGHT = [
    *((a, 0, 0, d) for a in (1, -1) for d in (1, -1)),
    *((0, b, c, 0) for b in (1, -1) for c in (1, -1)),
]


@pytest.mark.parametrize("matrix", EIGHT)
def test_turned_and_mirrored_as_players_show_it(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    """The matrix in an MP4's track header, as phones write it; selfie cameras mirror."""
    file = make_video(tmp_path / "v.mp4", 2)
    stored = [f.image for f in open_source(file)]
    data = bytearray(file.read_bytes())
    place = data.index(b"tkhd") + 44
    one, (a, b, c, d) = 1 << 16, matrix
    assert struct.unpack_from(">9i", data, place) == (one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, place, a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    file.write_bytes(data)
    for frame, image in zip(open_source(file), stored, strict=True):
        np.testing.assert_array_equal(frame.image, as_shown(image, matrix))


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        (Fraction(2), (128, 48)),
        (Fraction(1, 2), (64, 96)),
        (Fraction(16, 15), (68, 48)),
        (Fraction(1216, 1215), (64, 48)),  # rounding, of a cut that was scaled
        (Fraction(1, 50), (64, 48)),  # no shape of a pixel
    ],
)
def test_pixels_that_are_not_square_become_so(
    tmp_path: Path, aspect: Fraction, size: tuple[int, int]
) -> None:
    """As players show them: a person who is squeezed is another one for a network."""
    file = tmp_path / "v.mkv"
    with av.open(str(file), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture(3), format="bgr24")))
        out.mux(stream.encode(None))
    [frame] = open_source(file)
    assert frame.image.shape == (size[1], size[0], 3)
    wanted = cv2.resize(picture(3), size).astype(int)
    assert np.abs(frame.image.astype(int) - wanted).mean() < 12


@pytest.mark.parametrize(
    ("size", "tag", "matrix"),
    [
        ((1280, 64), 2, "ITU709"),
        ((64, 64), 2, "ITU601"),
        ((1280, 64), 5, "ITU601"),
        ((64, 64), 1, "ITU709"),
    ],
)
def test_colours_are_those_that_players_show(
    tmp_path: Path, size: tuple[int, int], tag: int, matrix: str
) -> None:
    """Where a file does not name its colours (2), large pictures are BT.709's and small ones BT.601's."""
    green = np.full((size[1], size[0], 3), (40, 200, 120), np.uint8)
    convert = av.video.reformatter.VideoReformatter()
    made = convert.reformat(
        av.VideoFrame.from_ndarray(green, format="bgr24"), format="yuv420p", dst_colorspace=matrix
    )
    with av.open(str(tmp_path / "v.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        stream.codec_context.colorspace = tag
        out.mux(stream.encode(made))
        out.mux(stream.encode(None))
    [frame] = open_source(tmp_path / "v.mp4")
    assert np.abs(frame.image.astype(int) - green).max() <= 5


def test_the_main_one_of_several_videos(tmp_path: Path) -> None:
    """The largest, whatever comes first."""
    file = tmp_path / "v.mkv"
    with av.open(str(file), "w") as out:
        streams = [out.add_stream("mpeg4", rate=10) for _ in range(3)]
        images = [cv2.resize(picture(1), size) for size in ((32, 24), (128, 96), (64, 48))]
        for stream, image in zip(streams, images, strict=True):
            stream.height, stream.width = image.shape[:2]
            stream.pix_fmt = "yuv420p"
        for stream, image in zip(streams, images, strict=True):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
            out.mux(stream.encode(None))
    assert [f.image.shape for f in open_source(file)] == [(96, 128, 3)]


def test_a_songs_cover_is_no_video(tmp_path: Path) -> None:
    file = tmp_path / "song.mp4"
    with av.open(str(file), "w") as out:
        heard, cover = out.add_stream("aac", rate=8000), out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        out.mux(cover.encode(av.VideoFrame.from_ndarray(picture(0), format="bgr24")))
        out.mux(cover.encode(None))
        one = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        one.sample_rate, one.pts = 8000, 0
        out.mux(heard.encode(one))
        out.mux(heard.encode(None))
    with pytest.raises(SourceError, match="no video in it, only a cover picture and audio"):
        open_source(file)


def test_a_turn_is_known_where_pyav_cannot_list_what_comes_with_a_frame() -> None:
    """FFmpeg has kinds that PyAV's list of them lacks."""

    class Strange:
        rotation = 90

        @property
        def side_data(self) -> object:
            raise ValueError("32 is not a valid Type")

    stored = picture(0)
    convert = SimpleNamespace(reformat=lambda *_, **__: SimpleNamespace(to_ndarray=lambda: stored))
    np.testing.assert_array_equal(upright(Strange(), convert), np.rot90(stored))


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * share)])
    return path


@pytest.mark.parametrize(("name", "codec"), [("v.mkv", "mpeg4"), ("v.webm", "libvpx")])
def test_half_a_matroska_says_so(tmp_path: Path, name: str, codec: str) -> None:
    file = make_video(tmp_path / name, 60, codec)
    assert len(list(open_source(file))) == 60
    cut(file, 0.5)
    frames: list[Frame] = []
    with pytest.raises(SourceError, match=r"ends at [1-4]\.\d of 6\.0 s: it is truncated or damaged"):
        frames.extend(open_source(file))
    assert 10 < len(frames) < 50
    with pytest.raises(SourceError, match=r"truncated or damaged"):
        list(open_source(file, fps=30))  # counted times are not the file's
    assert len(list(open_source(file, end=1.0))) == 10


def test_a_video_shorter_than_its_sound_is_whole(tmp_path: Path) -> None:
    """With the stream's own duration, and where the header has only the sound's."""
    file = make_video(tmp_path / "v.mkv", 20, sound=6)
    assert len(list(open_source(file))) == 20
    data = file.read_bytes()
    assert data.count(b"DURATION") == 2
    file.write_bytes(data.replace(b"DURATION", b"DURATIOX"))
    assert len(list(open_source(file))) == 20


def test_a_last_picture_that_stands_is_no_lack(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "v.mkv"), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(10):
            frame = av.VideoFrame.from_ndarray(picture(index), format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            for packet in stream.encode(frame):
                packet.duration = 50 if index == 9 else 1
                out.mux(packet)
    with open_source(tmp_path / "v.mkv") as source:
        assert source.length == 59
        assert len(list(source)) == 10
