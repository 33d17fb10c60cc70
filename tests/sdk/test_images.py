"""Pictures that are none, broken in real ways, or of another kind."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtmpose_sdk.errors import ImageError, InputError, OutputError
from rtmpose_sdk.images import IMAGE_SUFFIXES, as_bgr, pictures_in, read_image, write_bytes, write_image


def test_grey_and_bgra_are_converted(photo: np.ndarray) -> None:
    grey = cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)
    for given in (grey, grey[:, :, None]):
        np.testing.assert_array_equal(as_bgr(given), np.repeat(grey[:, :, None], 3, axis=2))
    np.testing.assert_array_equal(as_bgr(cv2.cvtColor(photo, cv2.COLOR_BGR2BGRA)), photo)
    assert as_bgr(photo) is photo


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "float32; expected uint8"),
        (np.zeros((4, 4, 3), np.uint16), "uint16; expected uint8"),
        (np.zeros((0, 0, 3), np.uint8), "no pixel"),
        (np.zeros((4, 4, 2), np.uint8), r"\(4, 4, 2\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), "one picture"),
        (np.zeros((32767, 1, 3), np.uint8), "sides of at most 32766 px"),
        (np.array(5, np.uint8), r"shape \(\); expected"),
        (None, "is None; expected"),
        ("photo.jpg", "str"),
    ],
)
def test_other_arrays_are_refused(image: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        as_bgr(image)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_truncated_files_are_refused(photo: np.ndarray, tmp_path: Path, suffix: str, share: float) -> None:
    whole = tmp_path / f"whole{suffix}"
    write_image(whole, photo)
    assert read_image(whole).shape == photo.shape
    data = whole.read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match=rf"cut\{suffix}.*truncated"):
        read_image(tmp_path / f"cut{suffix}")


def test_a_thumbnails_end_does_not_hide_a_missing_one(photo: np.ndarray, tmp_path: Path) -> None:
    _, small = cv2.imencode(".jpg", cv2.resize(photo, (32, 32)))
    _, large = cv2.imencode(".jpg", photo)
    data = large.tobytes()
    thumbnail = small.tobytes()
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    file = tmp_path / "thumb.jpg"
    file.write_bytes(data[:2] + segment + data[2:])
    assert read_image(file).shape == photo.shape
    file.write_bytes(data[:2] + segment + data[2:-2000])
    with pytest.raises(ImageError, match="truncated"):
        read_image(file)


def test_bytes_after_the_end_do_no_harm(photo: np.ndarray, tmp_path: Path) -> None:
    _, data = cv2.imencode(".jpg", photo)
    (tmp_path / "long.jpg").write_bytes(data.tobytes() + b"camera's own notes" * 9)
    assert read_image(tmp_path / "long.jpg").shape == photo.shape


@pytest.mark.parametrize(
    "options", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 4]]
)
def test_a_film_after_the_end_does_no_harm(photo: np.ndarray, tmp_path: Path, options: list[int]) -> None:
    """Phones append one; in it, what begins a scan may be the last marker."""
    data = cv2.imencode(".jpg", photo, options)[1].tobytes()
    film = b"ftypmp4" + b"\xff\xd9 \xff\xda" + bytes(1000)
    (tmp_path / "motion.jpg").write_bytes(data + film)
    np.testing.assert_array_equal(
        read_image(tmp_path / "motion.jpg"), cv2.imdecode(np.frombuffer(data, np.uint8), 1)
    )
    for share in (0.3, 0.99):
        (tmp_path / "cut.jpg").write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ImageError, match="truncated"):
            read_image(tmp_path / "cut.jpg")


def test_views_become_arrays_that_opencv_reads_at_once(photo: np.ndarray) -> None:
    assert as_bgr(photo[..., ::-1]).flags.c_contiguous
    np.testing.assert_array_equal(as_bgr(photo[..., ::-1]), photo[..., ::-1])
    assert as_bgr(photo) is photo


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("hello")
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((8, 8, 3), 40000, np.uint16))
    for name, message in (
        ("empty.jpg", "empty"),
        ("text.jpg", "not a picture"),
        ("deep.png", "uint16"),
        ("none.jpg", "No such file"),
        ("", "cannot be read"),
    ):
        with pytest.raises(ImageError, match=message):
            read_image(tmp_path / name)


def test_rgba_and_grey_files_become_bgr(photo: np.ndarray, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "rgba.png"), cv2.cvtColor(photo, cv2.COLOR_BGR2BGRA))
    cv2.imwrite(str(tmp_path / "grey.png"), photo[:, :, 0])
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png"), photo)
    assert read_image(tmp_path / "grey.png").shape == photo.shape


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(OutputError, match=r"folder\.jpg"):
        write_bytes(tmp_path / "folder.jpg", b"data")
    with pytest.raises(OutputError):
        write_bytes(Path("/proc/none/out.json"), b"data")
    assert [p.name for p in tmp_path.iterdir()] == ["folder.jpg"]


@pytest.mark.parametrize("path", [None, 5, "a\0b", "x" * 400])
def test_names_that_no_picture_has(path: object) -> None:
    with pytest.raises(ImageError, match=r"the picture is .*; expected the path|cannot be read"):
        read_image(path)


def test_bytes_and_open_files_are_read(photo_path: Path, photo: np.ndarray) -> None:
    data = photo_path.read_bytes()
    with photo_path.open("rb") as file:
        for source in (data, bytearray(data), io.BytesIO(data), file):
            np.testing.assert_array_equal(read_image(source), photo)
        with pytest.raises(ImageError, match=r"the picture is empty.*seek\(0\)"):
            read_image(file)
    with pytest.raises(ImageError, match="the picture cannot be read"):
        read_image(file)
    with photo_path.open(encoding="latin1") as text, pytest.raises(ImageError, match="gives a str"):
        read_image(text)  # type: ignore[arg-type]
    for broken, message in (
        (data[:9000], "the picture is truncated"),
        (b"a.png", r"the picture is not a picture that OpenCV 4\.\d+\.\d+ can read"),
        (b"", "the picture is empty"),
    ):
        with pytest.raises(ImageError, match=message):
            read_image(broken)


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_pictures_of_phones_are_named(brand: bytes) -> None:
    with pytest.raises(ImageError, match=r"is a HEIC picture.*heif-convert, pillow-heif"):
        read_image(b"\0\0\0\x18ftyp" + brand + bytes(99))


def test_what_is_no_array_is_told_how_it_becomes_one(photo_path: Path) -> None:
    pil = pytest.importorskip("PIL.Image")
    with pil.open(photo_path) as picture, pytest.raises(ImageError, match=r"np\.asarray\(picture\.conv"):
        as_bgr(picture)
    with pytest.raises(ImageError, match=r"is None; .*cv2\.imread returns None"):
        as_bgr(None)
    with pytest.raises(ImageError, match=r"is a str; .*read_image"):
        as_bgr("photo.jpg")
    torch = pytest.importorskip("torch")
    with pytest.raises(ImageError, match=r"is a Tensor; .*\.numpy\(\)"):
        as_bgr(torch.zeros(3, 4, 4))


def test_every_kind_that_counts_as_a_picture_is_read(photo: np.ndarray, tmp_path: Path) -> None:
    grey = photo[:, :, 0]
    for suffix in IMAGE_SUFFIXES:
        file = tmp_path / f"a{suffix}"
        if suffix == ".avif" and not cv2.haveImageWriter(suffix):
            file.write_bytes(b"\0\0\0 ftypavif")
            with pytest.raises(ImageError, match=r"OpenCV 4\.\d+\.\d+ can read; AVIF takes OpenCV 4\.12"):
                read_image(file)
            continue
        written = {".jfif": ".jpg"}.get(suffix, suffix)
        data = cv2.imencode(written, grey if suffix == ".pgm" else photo)[1]
        file.write_bytes(data.tobytes())
        assert read_image(file).shape == photo.shape
    assert len(pictures_in(tmp_path)) == len(IMAGE_SUFFIXES)


def test_pictures_of_a_folder_are_in_natural_order(tmp_path: Path) -> None:
    for name in ("f10.JPG", "f2.png", "f1.webp", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "f3.png").mkdir()
    assert [path.name for path in pictures_in(tmp_path)] == ["f1.webp", "f2.png", "f10.JPG"]
    with pytest.raises(InputError, match=r"f3\.png: no pictures in this folder; expected files ending in"):
        pictures_in(tmp_path / "f3.png")
    with pytest.raises(InputError, match=r"f2\.png: not a folder; expected one with pictures"):
        pictures_in(tmp_path / "f2.png")
