"""Run all configurations that a command line composed: one after the other here, or as jobs where a launcher puts them.

hydra composes and this launches: hydra's launcher plug-ins would ship the function that collects a configuration, which
is not what takes time. Here a job is a command line, so every launcher gives one result; docs/scale.md has the reasons.
"""

import hashlib
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from conf.build import build
from conf.job import INTERRUPTED, Finished, Job, name_jobs
from conf.launchers import LAUNCHERS, Launcher
from conf.main import Composed, one_line

SEQUENTIAL = "sequential"


def run_all(
    module: str, composed: Sequence[Composed], run: Callable[[Composed], int], extra: Sequence[str] = ()
) -> int:
    """Return the worst exit status of the configurations of a command; each failed one is named on standard error.

    module: of the command, for jobs; extra: words of its own that are no overrides. run: what runs one configuration
    here. A single one that runs here raises what is
    wrong with it; of several, one that fails does not keep the others from running. Raises ValueError, before anything
    runs, for a launcher that is not known and for configurations that would write to one folder.
    """
    if not composed:
        return 0
    launcher = _launcher(composed[0])
    if len(composed) == 1 and launcher is None:
        return run(composed[0])
    _check_folders(composed)
    names = name_jobs([one.words for one in composed])
    if launcher is None:
        return _told([_one(name, one, run) for name, one in zip(names, composed, strict=True)])
    digest = hashlib.sha256(repr([one.words for one in composed]).encode()).hexdigest()[:8]
    folder = Path(launcher.folder) / f"{module.removesuffix('.main')}-{digest}"
    jobs = [
        Job(
            name=name,
            module=module,
            words=(*one.words, *extra),
            out=folder.absolute() / f"{index:03d}.job",
            cwd=Path.cwd(),
        )
        for index, (name, one) in enumerate(zip(names, composed, strict=True))
    ]
    return _told(_watch(launcher, jobs, folder))


def _watch(launcher: Launcher, jobs: Sequence[Job], folder: Path) -> list[Finished]:
    """Return how the jobs ended; what each printed is printed when it has."""
    print(f"{len(jobs)} job(s) by {launcher.name}; what they say is in {folder}", file=sys.stderr)
    ended: list[Finished] = []
    for finished in launcher.launch(jobs):
        ended.append(finished)
        state = "done" if finished.code == 0 else f"exit status {finished.code}"
        print(f"[{len(ended)}/{len(jobs)}] {finished.name}: {state}, {finished.seconds:.1f} s", file=sys.stderr)
        print(finished.printed, end="" if finished.printed.endswith("\n") else "\n", flush=True)
    return ended


def _one(name: str, composed: Composed, run: Callable[[Composed], int]) -> Finished:
    """Return how one configuration of several ended, run here."""
    print(f"== {name}", file=sys.stderr)
    try:
        return Finished(name=name, code=run(composed), seconds=0.0)
    except (ValueError, OSError) as error:
        return Finished(name=name, code=2, seconds=0.0, detail=one_line(error))
    except Exception as error:
        # a mistake of ours in one job must not cost the others; it is told in full
        traceback.print_exc()
        return Finished(name=name, code=2, seconds=0.0, detail=repr(error))


def _told(ended: Sequence[Finished]) -> int:
    """Return the worst exit status, and name each job that did not end well."""
    failed = [finished for finished in ended if finished.code != 0]
    for finished in failed:
        print(f"failed: {finished.name}: exit status {finished.code}: {finished.detail}", file=sys.stderr)
    if failed:
        print(f"{len(failed)} of {len(ended)} jobs failed; the same command runs them again", file=sys.stderr)
    if any(finished.code == INTERRUPTED for finished in failed):
        return INTERRUPTED
    return max((finished.code for finished in failed), default=0)


def _launcher(composed: Composed) -> Launcher | None:
    """Return the launcher of a configuration, or None for running here."""
    name = composed.launcher.get("name", SEQUENTIAL)
    if name == SEQUENTIAL:
        return None
    if name not in LAUNCHERS:
        raise ValueError(f"launcher.name: got {name!r}, expected one of {', '.join([SEQUENTIAL, *LAUNCHERS])}")
    return build(LAUNCHERS[name], composed.launcher, "launcher")


def _check_folders(composed: Sequence[Composed]) -> None:
    folders = [str(one.mapping["out"]) for one in composed if one.mapping.get("out") is not None]
    for folder in folders:
        if folders.count(folder) > 1:
            raise ValueError(
                f"out={folder}: {folders.count(folder)} jobs of a sweep would write there; leave out=... away (folders "
                "are named for their settings), or sweep it too"
            )
