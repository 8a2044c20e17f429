"""Recorded checksums: files that differ are refused by every reader, in the forms that sha256sum and md5sum write."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anyres import checksums
from anyres.checksums import KnownMedia, load_checksums
from anyres.decode import image_size, open_image
from anyres.errors import MediaError
from anyres.limits import LIMITS, MediaLimits
from anyres.reading import read_picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with pictures, one of them in a folder below, and their SHA256SUMS."""
    (tmp_path / "below").mkdir()
    for number, name in enumerate(["a.png", "b c.jpg", "below/d.bmp"]):
        Image.new("RGB", (8, 6), (60 * number, 10, 10)).save(tmp_path / name)
    listed(tmp_path, "a.png", "b c.jpg", "below/d.bmp")
    return tmp_path


def listed(folder: Path, *names: str, algorithm: str = "sha256", form: str = "{digest}  {name}\n") -> Path:
    """Write digests of files, by default as sha256sum does."""
    digests = {name: hashlib.new(algorithm, (folder / name).read_bytes()).hexdigest() for name in names}
    file = folder / "SHA256SUMS"
    file.write_text("".join(form.format(name=name, digest=digest, folder=folder) for name, digest in digests.items()))
    return file


def known(file: Path, unlisted: str = "refuse") -> MediaLimits:
    return KnownMedia(checksums=str(file), unlisted=unlisted).limits(LIMITS)


def change(path: Path) -> None:
    """Change a pixel, so that what is there is as whole as before."""
    with Image.open(path) as image:
        changed = image.convert("RGB")
    changed.putpixel((3, 3), (255, 255, 255))
    changed.save(path)


def test_files_as_recorded_are_read(folder: Path) -> None:
    limits = known(folder / "SHA256SUMS")
    for name in ("a.png", "b c.jpg", "below/d.bmp"):
        assert open_image(folder / name, limits).size == (8, 6)
        assert image_size(str(folder / name), limits) == (6, 8)


@pytest.mark.parametrize("mode", ["exact", "fast", "draft"])
def test_a_changed_file_is_refused_in_every_mode(folder: Path, mode: str) -> None:
    limits = known(folder / "SHA256SUMS")
    change(folder / "b c.jpg")
    for read in (open_image, image_size, lambda path, limits: read_picture(path, mode, lambda size: size, limits)):
        with pytest.raises(MediaError) as caught:
            read(folder / "b c.jpg", limits)
        error = caught.value
        assert (error.kind, error.path) == ("checksum", str(folder / "b c.jpg"))
        assert "its sha256 is" in error.detail
        assert "SHA256SUMS lists" in error.detail
    assert open_image(folder / "b c.jpg").size == (8, 6)


def test_a_file_that_is_not_listed(folder: Path) -> None:
    sums = listed(folder, "a.png")
    with pytest.raises(MediaError, match=r"not listed in .*SHA256SUMS.*unlisted=read") as caught:
        open_image(folder / "below/d.bmp", known(sums))
    assert caught.value.kind == "checksum"
    assert open_image(folder / "below/d.bmp", known(sums, "read")).size == (8, 6)
    # those that are listed are compared all the same
    change(folder / "a.png")
    with pytest.raises(MediaError, match="its sha256"):
        open_image(folder / "a.png", known(sums, "read"))


def test_what_has_no_path_has_no_checksum(folder: Path) -> None:
    limits = known(folder / "SHA256SUMS")
    assert open_image((folder / "a.png").read_bytes(), limits).size == (8, 6)
    assert open_image(np.zeros((6, 8, 3), np.uint8), limits).size == (8, 6)


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"])
def test_the_number_of_digits_says_which_digest(folder: Path, algorithm: str) -> None:
    sums = listed(folder, "a.png", algorithm=algorithm)
    assert open_image(folder / "a.png", known(sums)).size == (8, 6)
    change(folder / "a.png")
    with pytest.raises(MediaError, match=f"its {algorithm} is"):
        open_image(folder / "a.png", known(sums))


FORMS = {
    "binary": "{digest} *{name}\n",
    "dot": "{digest}  ./below/../{name}\n",
    "comments": "# made by hand\n\n{digest}  {name}\n   \n",
    "windows": "{digest} *{name}\r\n",
    "tagged": "SHA256 ({name}) = {digest}\n",
    "escaped": "\\{digest}  {name}\n",
    "absolute": "{digest}  {folder}/{name}\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_line(folder: Path, form: str) -> None:
    sums = listed(folder, "b c.jpg", form=FORMS[form])
    assert open_image(folder / "b c.jpg", known(sums)).size == (8, 6)
    change(folder / "b c.jpg")
    with pytest.raises(MediaError, match="its sha256"):
        open_image(folder / "b c.jpg", known(sums))


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
@pytest.mark.parametrize("options", [[], ["--tag"], ["--binary"]])
def test_files_of_sha256sum_itself(folder: Path, options: list[str]) -> None:
    odd = "line\nbreak \\ and back"
    Image.new("RGB", (8, 6)).save(folder / odd, "PNG")
    names = ["a.png", "b c.jpg", "below/d.bmp", odd]
    done = subprocess.run(["sha256sum", *options, *names], cwd=folder, capture_output=True, check=True)
    (folder / "SHA256SUMS").write_bytes(done.stdout)
    limits = known(folder / "SHA256SUMS")
    for name in names:
        assert open_image(folder / name, limits).size == (8, 6)
    change(folder / "a.png")
    with pytest.raises(MediaError, match="its sha256"):
        open_image(folder / "a.png", limits)


def test_paths_by_links_and_from_elsewhere(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "data").symlink_to(folder)
    limits = known(folder / "SHA256SUMS")
    # the folder by a link, then the checksums by it, then a file by a link of another name
    assert open_image(other / "data" / "below" / "d.bmp", limits).size == (8, 6)
    assert open_image(folder / "a.png", known(other / "data" / "SHA256SUMS")).size == (8, 6)
    (other / "x.png").symlink_to(folder / "a.png")
    assert open_image(other / "x.png", limits).size == (8, 6)
    # checksums that lie beside the data
    (other / "sums").mkdir()
    sums = listed(folder, "a.png", form="{digest}  ../" + folder.name + "/{name}\n")
    moved = folder.parent / "sums"
    moved.mkdir()
    shutil.move(sums, moved / "SHA256SUMS")
    assert open_image(folder / "a.png", known(moved / "SHA256SUMS")).size == (8, 6)


def test_a_file_is_digested_once_until_it_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits, opened = known(folder / "SHA256SUMS"), []
    real = checksums.hashlib.new
    monkeypatch.setattr(checksums.hashlib, "new", lambda *given, **named: opened.append(given) or real(*given, **named))
    path = folder / "below" / "d.bmp"
    for _ in range(5):
        open_image(path, limits)
    assert len(opened) == 1
    # another time of change alone: digested again, and still the same
    os.utime(path, ns=(1, 1))
    open_image(path, limits)
    assert len(opened) == 2
    change(path)
    with pytest.raises(MediaError, match="its sha256"):
        open_image(path, limits)


def test_checksums_that_change_are_read_again(folder: Path) -> None:
    limits = known(folder / "SHA256SUMS")
    change(folder / "a.png")
    with pytest.raises(MediaError):
        open_image(folder / "a.png", limits)
    listed(folder, "a.png", form="{digest}  {name}\n# now\n")
    assert open_image(folder / "a.png", limits).size == (8, 6)


WRONG = {
    "no digest": ("hello world\n", "line 1: expected a digest, two spaces and a path, got 'hello world'"),
    "short": ("abcdef  a.png\n", "line 1: a digest of 6 digits, expected one of md5 \\(32\\)"),
    "wrong tag": ("# x\nSHA512 (a.png) = " + 64 * "0" + "\n", "line 2: a digest of 64 digits"),
    "two": (64 * "0" + "  a.png\n" + 64 * "1" + " *./a.png\n", "line 2: another digest of ./a.png stands before it"),
}


@pytest.mark.parametrize("case", WRONG)
def test_lines_that_are_not_understood(tmp_path: Path, case: str) -> None:
    text, words = WRONG[case]
    (tmp_path / "sums").write_text(text)
    with pytest.raises(ValueError, match=words):
        load_checksums(tmp_path / "sums")


def test_settings() -> None:
    assert KnownMedia().limits(LIMITS) == LIMITS
    with pytest.raises(ValueError, match="checksums cannot be read: No such file"):
        KnownMedia(checksums="/nowhere/SHA256SUMS").limits(LIMITS)
    with pytest.raises(ValueError, match="unlisted: expected one of refuse, read, got 'skip'"):
        KnownMedia(unlisted="skip").limits(LIMITS)
