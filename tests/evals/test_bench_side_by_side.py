"""anyres-bench: the same work on both sides, rows that add up, parts by name."""

import csv

import pytest
import torch

from evals.bench.figures import describe, figures, machine, write
from evals.bench.goals import goals
from evals.bench.main import main
from evals.bench.pair import pair, pictures
from evals.bench.parts import MORE, PARTS
from evals.bench.whole import CLOCKS, Pass, implementations


def test_ratios_are_taken_round_by_round(tmp_path) -> None:
    seconds = {"peer": [1.0, 2.0, 4.0], "ours": [0.5, 1.5, 1.0], "floor": [0.25, 0.5, 0.5]}
    rows = figures("part", "work", seconds, "peer", floor="floor", notes={"ours": "seen"})
    ours = rows[1]
    assert (ours.milliseconds, ours.quartile_1, ours.quartile_3) == (1000.0, 750.0, 1250.0)
    # medians of 0.5, 0.75, 0.25 and of 2, 3, 2
    assert (ours.per_peer, ours.per_floor, ours.note) == (0.5, 2.0, "seen")
    assert "0.500 x peer" in describe(ours) and "2.00 x floor" in describe(ours)
    write(tmp_path / "rows.csv", rows[:1], machine())
    write(tmp_path / "rows.csv", rows[1:], machine())
    with (tmp_path / "rows.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["implementation"] for row in read] == ["peer", "ours", "floor"]
    assert read[0]["torch"] == torch.__version__


def test_both_sides_see_the_same_and_say_the_same(tmp_path) -> None:
    both = pair(tmp_path / "model", hidden=16, layers=2)
    paths = pictures(tmp_path, 3)
    done = {name: Pass(clock=CLOCKS["cpu"]) for name in implementations(both, paths)}
    for name, call in implementations(both, paths).items():
        call(done[name])
    assert done["transformers-pil"].ids == done["anyres exact"].ids
    for one in done.values():
        assert len(one.ids) == 3
        assert 0 < one.outside < one.whole
        assert one.encoder > 0 and one.llm > 0
        assert 0 < one.projector < one.outside
    ours, theirs = done["anyres exact"], done["transformers-pil"]
    assert ours.positions - ours.padding == theirs.positions - theirs.padding
    assert ours.padding <= 0.03 * ours.positions


def test_an_unknown_part_is_named(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["paint"])
    assert f"expected some of {', '.join([*PARTS, *MORE])}, got paint" in capsys.readouterr().err


def test_the_table_of_goals_is_made_from_rows(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.csv"
    seconds = {"transformers": [1.0, 1.0], "cpu": [0.1, 0.1], "floor": [0.09, 0.09]}
    write(path, figures("pack", "next-336 forward 4096 bfloat16", seconds, "transformers", floor="floor"), machine())
    decoded = {"decord, 2 threads": [1.0, 1.0], "anyres": [0.5, 0.5]}
    write(path, figures("decode", "8 of 21600 frames, 720p", decoded, "decord, 2 threads"), machine())
    passed = {"transformers": [1.0, 1.0], "anyres exact": [0.5, 0.5]}
    notes = {"anyres exact": "padding 0.3 % of 9 positions"}
    write(path, figures("whole", "16 images, whole, cpu seconds", passed, "transformers", notes=notes), machine())
    # a row that is measured again counts
    decoded["anyres"] = [0.25, 0.25]
    write(path, figures("decode", "8 of 21600 frames, 720p", decoded, "decord, 2 threads"), machine())
    main(["--only-table", "--write", str(path)])
    lines = (tmp_path / "rows.md").read_text().splitlines()
    found = [line for line in lines if "not measured" not in line]
    assert "| pack, next-336, D 4096, bf16, floor | <= 1.2 x floor | 1.11 x, 100 [100, 100] ms | yes |" in found
    assert (
        "| pack, next-336, D 4096, bf16, transformers | >= 8 x faster | 10.00 x faster, 100 [100, 100] ms | yes |"
        in found
    )
    assert any("decord" in line and "4.00 x faster" in line and line.endswith("| yes |") for line in found)
    assert "| padded positions of the prefill | <= 3 % | 0.3 % | yes |" in found
    assert "5 of 5 measured lines reached." in lines
    assert len([line for line in lines if "not measured" in line]) == len(goals()) - 5
    assert torch.__version__ in lines[0]
    capsys.readouterr()


def test_goals_name_works_that_the_parts_measure() -> None:
    assert {goal.part for goal in goals()} == set(PARTS)
    assert all(0 < goal.most < 4 for goal in goals())
