"""Settings behind the NAME of FILE@NAME on a command line: a file in conf/grid or conf/video."""

from collections.abc import Sequence
from functools import cache

from anyres.grid import GridSpec
from conf.build import build
from conf.main import compose
from video.clip import VideoSpec


def grid_named(name: str, overrides: Sequence[str] = ()) -> GridSpec:
    """Return the grid of conf/grid (or of the folders that --config-dir in the overrides adds)."""
    return build(GridSpec, _group("grid", name, tuple(overrides)), f"@{name}: grid")


def video_named(name: str, overrides: Sequence[str] = ()) -> VideoSpec:
    """Return the settings of conf/video (or of the folders that --config-dir in the overrides adds)."""
    return build(VideoSpec, _group("video", name, tuple(overrides)), f"@{name}: video")


# a folder of views names the same settings once a picture
@cache
def _group(group: str, name: str, overrides: tuple[str, ...]) -> dict[str, object]:
    folders = [word for word in overrides if word.startswith(("--config-dir", "-cd"))]
    follows = [overrides[index + 1] for index, word in enumerate(overrides[:-1]) if word in ("--config-dir", "-cd")]
    words = [word for word in folders if "=" in word] + [part for at in follows for part in ("--config-dir", at)]
    (composed,) = compose("ask", [f"{group}={name}", *words])
    return dict(composed.mapping[group])
