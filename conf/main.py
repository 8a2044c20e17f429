"""Compose a command's configuration with hydra: the one place that every main.py calls.

hydra keeps its whole command line (overrides, --help, --cfg job, -m for sweeps), but its errors come back as exceptions
to be told in one line, and nothing is left in the working directory.
"""

import io
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from conf.help import own_groups
from conf.nearest import expected, near, near_file

# what a wrong command line raises here
COMPOSE_ERRORS = (HydraException, OmegaConfBaseException)
# transformers imports torchao where it is installed, and torch warns of how that registers its enums: no user's concern
logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
# the group that says how the jobs of a sweep are started
LAUNCHER = "launcher"


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """One composed configuration: plain dicts and lists for conf.build, and what was chosen in each group.

    words: the overrides that compose it again, one of a sweep's too. launcher: the settings of conf/launcher, which are
    about how a command is started and no part of its configuration; empty for a command that has none.
    """

    mapping: dict[str, Any]
    chosen: dict[str, str]
    words: tuple[str, ...] = ()
    launcher: dict[str, Any] = field(default_factory=dict)


def compose(config_name: str, overrides: Sequence[str]) -> list[Composed]:
    """Return the configurations of a command: one, several for a sweep (-m), none when hydra only shows something.

    overrides: hydra's part of the command line (conf.arguments). Raises one of COMPOSE_ERRORS for a wrong one, and
    SystemExit for an option that hydra does not have.
    """
    composed: list[Composed] = []

    def collect(raw: DictConfig) -> None:
        found = HydraConfig.get()
        choices = {str(group): str(name) for group, name in found.runtime.choices.items()}
        chosen = {group: name for group, name in choices.items() if not group.startswith(("hydra/", LAUNCHER))}
        plain = OmegaConf.to_container(raw, resolve=True)
        assert isinstance(plain, dict)
        mapping = {str(key): value for key, value in plain.items()}
        launcher = mapping.pop(LAUNCHER, {})
        words = tuple(word for word in found.overrides.task if not word.lstrip("+~").startswith(LAUNCHER))
        composed.append(Composed(mapping=mapping, chosen=chosen, words=words, launcher=launcher))

    helped = _own_help(config_name) if {"--help", "-h"} & set(overrides) else nullcontext()
    with helped, TemporaryDirectory() as folder, _as_hydra_wants([f"hydra.sweep.dir={folder}", *overrides]):
        hydra.main(version_base="1.3", config_path="pkg://conf", config_name=config_name)(collect)()
    return composed


def told(command: str, error: Exception) -> int:
    """Print what a user of the command can put right, in one line on standard error; return the exit status, 2.

    With HYDRA_FULL_ERROR=1 in the environment the error is raised, with its traceback.
    """
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        raise error
    print(f"{command}: {one_line(error)}", file=sys.stderr)
    return 2


def one_line(error: Exception) -> str:
    """Return an error's words on one line, a file's name first; hydra and omegaconf spread theirs over several."""
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.partition("/")
        return f"{group}={name}: unknown {group}, {expected(name, list(error.options))}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: not a valid override ({error.message.splitlines()[0]})"
    unknown = re.match(r"Could not override '([^']*)'", str(error))
    if unknown:
        return f"{unknown[1]}: unknown key{_near_key(error.__cause__)}; --cfg job shows all keys"
    if isinstance(error, OSError) and error.filename is not None and error.strerror is not None:
        return _of_file(error)
    lines = [line.strip() for line in str(error).splitlines()]
    kept = [line for line in lines if line and not line.startswith(("full_key:", "object_type="))]
    return "; ".join(kept) if kept else type(error).__name__


def _near_key(cause: BaseException | None) -> str:
    """Return ", did you mean A?" with the keys nearest to one that its group does not have, or nothing."""
    if not isinstance(cause, OmegaConfBaseException) or cause.full_key is None:
        return ""
    parent = cause.parent_node
    name = str(cause.full_key).rpartition(".")[2]
    # "source" is model= on a command line, and hydra's own keys are no settings of a command
    keys = ["model" if key == "source" else str(key) for key in parent if key != "hydra"] if parent is not None else []
    hint = near(name, keys)
    return f", {hint}" if hint else ""


def _of_file(error: OSError) -> str:
    """Return what a file's error says, without "[Errno 2]": the file comes first, as in all other messages."""
    name = os.fsdecode(error.filename)
    if isinstance(error, FileNotFoundError):
        return f"{name}: {error.strerror}{near_file(Path(name))}"
    if isinstance(error, FileExistsError):
        return f"{name}: is a file, expected a folder"
    return f"{name}: {error.strerror}"


@contextmanager
def _own_help(config_name: str) -> Iterator[None]:
    """Print, of what hydra prints inside, only the groups that this command's defaults name."""
    said = io.StringIO()
    try:
        # hydra leaves with SystemExit once it has shown its help
        with redirect_stdout(said):
            yield
    finally:
        print(own_groups(said.getvalue(), _groups(config_name)), end="")


def _groups(config_name: str) -> set[str]:
    defaults = OmegaConf.load(Path(__file__).parent / f"{config_name}.yaml").defaults
    keys = {str(key) for entry in defaults if isinstance(entry, DictConfig) for key in entry}
    return {key for key in keys if not key.startswith("override ")}


@contextmanager
def _as_hydra_wants(arguments: Sequence[str]) -> Iterator[None]:
    saved_argv, saved_mode = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    # 1: hydra raises what went wrong instead of printing and exiting
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = [saved_argv[0], *arguments], "1"
    try:
        yield
    finally:
        sys.argv = saved_argv
        if saved_mode is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = saved_mode
