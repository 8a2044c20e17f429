"""What the words of a command line are: media files and one question; and how a media file is opened."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anyres.errors import MediaError
from anyres.limits import LIMITS, MediaLimits
from conf.arguments import named
from conf.nearest import near_file
from video.clip import VideoClip, VideoSpec
from video.reader import Backend, load_clip
from video.unread import choose

if TYPE_CHECKING:
    from anyres.grid import TileSpec

_IMAGES = "jpg jpeg png webp gif bmp tif tiff ppm jp2 tga avif ico heic svg pdf"
_CLIPS = "mp4 m4v mov mkv webm avi ts mpg mpeg flv ogv wmv 3gp h264 hevc"
_EXTENSIONS = frozenset(f".{name}" for name in f"{_IMAGES} {_CLIPS}".split())

# a folder in front, or an extension of any kind behind
_PATH = re.compile(r"[/\\].|\w\.\w+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Media files in the order given, and the question, None when there is none.

    looks: for each file the name of the grid or video settings behind its "@", None for none; or nothing.
    """

    paths: tuple[Path, ...]
    question: str | None
    looks: tuple[str | None, ...] = ()


def split_inputs(words: Sequence[str]) -> Inputs:
    """Return which words are media (files that exist) and which one is the question (any other).

    FILE@NAME names how a file is looked at; FOLDER@NAME stands for the pictures in it, sorted by name. Raises
    ValueError for a folder, a URL, a word that looks like a media file and is not there, more than one question, or no
    medium at all.
    """
    media = [one for word in words for one in _media(word)]
    questions = [word for word in words if not _media(word)]
    for word in questions:
        _check_question(word)
    if len(questions) > 1:
        raise ValueError(
            f"expected one question, got {len(questions)}: {', '.join(map(repr, questions))}; "
            "put quotes around a question, and check the names of files"
        )
    if not media:
        raise ValueError("nothing to look at: name an image or a clip (anyres-ask --help)")
    return _inputs(media, questions[0] if questions else None)


def split_line(line: str) -> Inputs:
    """Return the media files that a typed line begins with, and the question behind them.

    Only words that are existing files count. Raises ValueError for files without a question.
    """
    media: list[tuple[Path, str | None]] = []
    rest = line.strip()
    while rest and (found := _media(rest.split()[0])):
        media += found
        rest = rest[len(rest.split()[0]) :].strip()
    if not rest:
        raise ValueError(f"{', '.join(str(path) for path, _ in media)}: a question is missing behind the file")
    return _inputs(media, rest)


def open_clip(
    path: Path,
    video: VideoSpec,
    backend: Backend = "auto",
    tile: "TileSpec | None" = None,
    stream: int | None = None,
    limits: MediaLimits = LIMITS,
) -> VideoClip:
    """Return the frames of a clip that `video` asks for, resized for `tile` where that changes no pixel of it.

    stream: more frames than so many are chosen, and not read yet; None: all are read. Raises ValueError naming the file
    where it is no clip, is damaged, or the backend fails.
    """
    most = max(video.num_frames, len(video.times_s))
    try:
        if stream is not None and most > stream and video.frames_as == "clip":
            clip = choose(path, video, backend, limits=limits)
            if len(clip.indices) > stream:
                return clip
        return load_clip(path, video, backend, limits=limits, tile=tile)
    except MediaError as error:
        if error.kind != "not_media":
            raise
        raise ValueError(f"{path}: neither an image nor a video file that is read here") from error


def pictures_in(folder: Path) -> list[Path]:
    """Return the picture files of a folder, sorted by name. Raises ValueError where it holds none."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower().removeprefix(".") in _IMAGES.split())
    if not found:
        raise ValueError(f"{folder}: a folder without pictures")
    return found


def _inputs(media: Sequence[tuple[Path, str | None]], question: str | None) -> Inputs:
    looks = tuple(look for _, look in media)
    return Inputs(paths=tuple(path for path, _ in media), question=question, looks=looks if any(looks) else ())


def _media(word: str) -> list[tuple[Path, str | None]]:
    """Return the files that a word names, each with the name of its look; none for a word that names no file."""
    if _is_file(word):
        return [(Path(word), None)]
    one = named(word)
    if one.name is None:
        return []
    if _is_file(one.word):
        return [(Path(one.word), one.name)]
    # a folder without a name stays an error: whether its pictures are a clip's frames or several images is not told
    return [(path, one.name) for path in pictures_in(Path(one.word))] if Path(one.word).is_dir() else []


def _is_file(word: str) -> bool:
    # os.path, unlike Path, says no to a question that is too long to be a path
    return os.path.exists(word) and not os.path.isdir(word)  # noqa: PTH110, PTH112


def _check_question(word: str) -> None:
    if not word.strip():
        raise ValueError("the question is empty")
    if "://" in word.split()[0]:
        raise ValueError(f"{word}: expected a local file, got a URL; download it first")
    if os.path.isdir(word):  # noqa: PTH112
        raise ValueError(f"{word}: is a folder; name the files in it")
    one_word = not any(letter.isspace() for letter in word)
    if Path(word).suffix.lower() in _EXTENSIONS or (one_word and _PATH.search(word)):
        hint = near_file(Path(word))
        raise ValueError(f"{word}: no such file{hint} (if it is your question, end it with a question mark)")
