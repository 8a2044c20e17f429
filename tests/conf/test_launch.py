"""Sweeps: launchers run the same command lines, a failed job is named and costs no other, Ctrl-C stops them all."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conf.job import INTERRUPTED, Job, name_jobs, run_job
from conf.launch import run_all
from conf.launchers import Joblib, Launcher, Ray, Submitit
from conf.main import Composed, compose

PARTS = Path(__file__).resolve().parent.parent / "parts"
ROOT = PARTS.parent.parent


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PARTS), str(ROOT)]))
    return tmp_path


def jobs_in(folder: Path, *words: tuple[str, ...]) -> list[Job]:
    return [
        Job(name=" ".join(own), module="toy_job", words=own, out=folder / "logs" / f"{index}.job", cwd=folder)
        for index, own in enumerate(words)
    ]


def composed(*words: tuple[str, ...], launcher: dict[str, Any] | None = None, **mapping: Any) -> list[Composed]:
    return [Composed(mapping=dict(mapping), chosen={}, words=own, launcher=launcher or {}) for own in words]


LAUNCHERS = [
    pytest.param(lambda: Joblib(jobs=2), id="joblib"),
    pytest.param(lambda: Submitit(cluster="local", timeout_min=1), id="submitit"),
    pytest.param(lambda: Ray(), id="ray"),
]


@pytest.mark.parametrize("make", LAUNCHERS)
def test_every_launcher_runs_the_jobs_and_goes_on_past_a_failed_one(make: Callable[[], Launcher], place: Path) -> None:
    launcher = make()
    if launcher.name == "ray":
        pytest.importorskip("ray", reason="needs ray (pip install 'anyres[ray]')")
    ended = list(launcher.launch(jobs_in(place, ("1",), ("2", "fail"), ("3",))))
    found = {one.name: (one.code, one.printed, one.detail) for one in ended}
    assert found == {
        "1": (0, "job 1\n", ""),
        "2 fail": (3, "", "toy_job: 2 is no good"),
        "3": (0, "job 3\n", ""),
    }
    assert sorted(path.name for path in place.glob("done-*")) == ["done-1", "done-3"]
    assert (place / "logs" / "1.err").read_text() == "toy_job: 2 is no good\n"


def test_each_gpu_has_one_job_at_a_time(place: Path) -> None:
    words = [(str(number),) for number in range(4)]
    ended = list(Joblib(jobs=4, gpus=(5, 7), threads=1).launch(jobs_in(place, *words)))
    assert [one.code for one in ended] == [0] * 4
    gpus = {path.read_text().split()[1] for path in place.glob("done-*")}
    assert gpus == {"5", "7"}


def test_the_worst_status_is_the_sweeps_and_failures_are_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launcher = {"name": "joblib", "jobs": 2, "gpus": [], "threads": 1, "folder": "logs"}
    assert run_all("toy_job", composed(("1",), ("2", "fail"), ("3",), launcher=launcher), lambda one: 0) == 3
    printed = capsys.readouterr()
    assert sorted(printed.out.split()) == ["1", "3", "job", "job"]
    assert "failed: 2 fail: exit status 3: toy_job: 2 is no good" in printed.err
    assert "1 of 3 jobs failed" in printed.err
    # the same command again: the folder of its output is the same
    (folder,) = (place / "logs").iterdir()
    assert run_all("toy_job", composed(("1",), ("3",), launcher=launcher), lambda one: 0) == 0
    assert len(list((place / "logs").iterdir())) == 2 and folder.is_dir()


def test_here_a_failed_configuration_does_not_keep_the_others_from_running(capsys: pytest.CaptureFixture[str]) -> None:
    ran = []

    def run(one: Composed) -> int:
        ran.append(one.words)
        if one.words == ("b=2",):
            raise ValueError("b is no good")
        if one.words == ("b=3",):
            raise RuntimeError("a mistake of ours")
        return 0

    assert run_all("x.main", composed(("b=1",), ("b=2",), ("b=3",), ("b=4",)), run) == 2
    assert ran == [("b=1",), ("b=2",), ("b=3",), ("b=4",)]
    told = capsys.readouterr().err
    assert "failed: b=2: exit status 2: b is no good" in told and "a mistake of ours" in told
    # a single one raises: the command tells it in one line
    with pytest.raises(ValueError, match="no good"):
        run_all("x.main", composed(("b=2",)), run)


def test_wrong_settings_are_told_before_anything_runs(place: Path) -> None:
    both = [("a=1",), ("a=2",)]
    with pytest.raises(ValueError, match=r"launcher\.name: got 'slurm'"):
        run_all("toy_job", composed(*both, launcher={"name": "slurm"}), lambda one: 0)
    with pytest.raises(ValueError, match=r"launcher\.jobs: expected at least 1"):
        run_all("toy_job", composed(*both, launcher={"name": "joblib", "jobs": 0}), lambda one: 0)
    with pytest.raises(ValueError, match=r"launcher\.nonsense"):
        run_all("toy_job", composed(*both, launcher={"name": "ray", "nonsense": 0}), lambda one: 0)
    with pytest.raises(ValueError, match="out=here: 2 jobs of a sweep would write there"):
        run_all("toy_job", composed(*both, out="here"), lambda one: 0)
    assert list(place.iterdir()) == []


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ValueError, match=r"needs the package submitit \(pip install 'anyres\[launch\]'\)"):
        list(Submitit().launch(jobs_in(place, ("1",))))


def test_jobs_are_named_by_what_differs() -> None:
    assert name_jobs([("a=1", "b=2"), ("a=1", "b=3")]) == ["b=2", "b=3"]
    assert name_jobs([("a=1",)]) == ["job"]
    assert name_jobs([]) == []


def test_composing_a_sweep_keeps_the_words_of_each_point_and_the_launcher_apart() -> None:
    words = ["task.seed=0,1", "source='a b'", "++grid.target_tok=64", "launcher=joblib", "launcher.jobs=3", "-m"]
    points = compose("eval", words)
    assert [point.words for point in points] == [
        (f"task.seed={seed}", "source='a b'", "++grid.target_tok=64") for seed in (0, 1)
    ]
    assert all(point.launcher["name"] == "joblib" and point.launcher["jobs"] == 3 for point in points)
    assert all("launcher" not in point.mapping and "launcher" not in point.chosen for point in points)
    # the words of a point compose it again
    (again,) = compose("eval", points[1].words)
    assert (again.mapping, again.chosen) == (points[1].mapping, points[1].chosen)
    for command in ("eval", "ablate", "train"):
        assert compose(command, [])[0].launcher == {"name": "sequential"}


def test_a_signal_is_told_as_a_shell_does(place: Path) -> None:
    (job,) = jobs_in(place, ("1",))
    killed = Job(name="k", module="toy_killed", words=(), out=job.out, cwd=place)
    (place / "toy_killed.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert run_job(killed).code == 128 + signal.SIGKILL


@pytest.mark.parametrize("launcher", ["Joblib(jobs=2)", "Submitit(cluster='local', timeout_min=1)"])
def test_ctrl_c_interrupts_what_runs_and_starts_nothing_more(launcher: str, place: Path) -> None:
    code = (
        "import signal, sys, pathlib\n"
        "from conf.job import Job\n"
        "from conf.launchers import Joblib, Submitit\n"
        # a shell starts what it puts in the background with the signal ignored
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "here = pathlib.Path.cwd()\n"
        "names = '12345'[:COUNT]\n"
        "jobs = [Job(name=n, module='toy_job', words=(n, 'wait'), out=here / 'logs' / n, cwd=here) for n in names]\n"
        "try:\n"
        f"    list({launcher}.launch(jobs))\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(130)\n"
    )
    # submitit starts all jobs of an array here
    count = 5 if launcher.startswith("Joblib") else 2
    process = subprocess.Popen([sys.executable, "-c", code.replace("COUNT", str(count))], start_new_session=True)
    _until(lambda: len(list(place.glob("started-*"))) == 2)
    process.send_signal(signal.SIGINT)
    assert process.wait(40) == INTERRUPTED
    _until(lambda: len(list(place.glob("interrupted-*"))) == 2)
    assert len(list(place.glob("started-*"))) == 2 and not list(place.glob("done-*"))


def _until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, sorted(path.name for path in Path.cwd().iterdir())
        time.sleep(0.05)


def test_what_slurm_is_asked_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script that submitit would hand to sbatch; no cluster is needed to write it."""
    submitit = pytest.importorskip("submitit")
    slurm = pytest.importorskip("submitit.slurm.slurm")
    monkeypatch.setattr(slurm.SlurmExecutor, "affinity", classmethod(lambda cls: 2))
    executor = submitit.AutoExecutor(folder=place, cluster="slurm")
    launcher = Submitit(
        timeout_min=90,
        gpus_per_node=1,
        mem_gb=32,
        partition="gpu",
        at_once=8,
        setup=("module load cuda",),
        extra={"slurm_constraint": "a100"},
    )
    executor.update_parameters(**launcher._parameters())
    script = executor._executor._make_submission_file_text("run", "1").splitlines()
    wanted = ("time=90", "gpus-per-node=1", "mem=32GB", "partition=gpu", "constraint=a100", "cpus-per-task=4")
    assert {f"#SBATCH --{one}" for one in wanted} <= set(script)
    assert "module load cuda" in script
