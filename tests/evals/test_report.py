"""The report page: self-contained, escaped, and sensible for runs that have little or nothing to tell."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from evals.ablation.axes import Ablation, Axis, cells
from evals.ablation.cost import Cost
from evals.ablation.output import SweepOutput, describe, write_report, write_tables
from evals.ablation.report import Definitions, Figures, Paragraph, Picture, Section, Table, page
from evals.ablation.runner import Counts, SweepRun
from evals.ablation.summary import finding
from evals.ablation.table import Measured, SweepRow
from evals.result import Prediction
from evals.sample import Media, Sample
from evals.score import score
from evals.task import Parsed, Task

COST = Cost(encoder_flops=10**9, llm_flops=10**8, feature_bytes=1 << 20, seen_px=56 * 56)
ABLATION = Ablation(name="grid", title="Grid", axes=(Axis(name="grid", key="grid", values=("1x1", "2x2", "3x3")),))


class Yes(Task):
    name, version, max_new_tokens = "yes", "v1", 1

    def samples(self) -> list[Sample]:
        return []

    def prompt(self, sample: Sample) -> str:
        return sample.question

    def parse(self, sample: Sample, text: str) -> Parsed:
        return Parsed(answer=text or None, rule="text")

    def score(self, sample: Sample, parsed: Parsed) -> float:
        return float(parsed.answer == sample.answer)


def sample(index: int) -> Sample:
    media = Media(key=str(index), kind="image", draw=lambda: None)
    return Sample(id=f"{index:03d}", media=(media,), question="?", answers=("yes",), kind="ab"[index % 2])


def output(texts_by_setting: dict[str, list[str]], status: str = "ok", tokens: int = 10) -> SweepOutput:
    """Describe a sweep whose samples got these texts; more tokens at every further setting."""
    points = []
    for place, (setting, texts) in enumerate(texts_by_setting.items()):
        samples = [sample(index) for index in range(len(texts))]
        answers = {
            one.id: Prediction(
                id=one.id, text=text, status=status, visual_tokens=tokens * (place + 1), seconds=0.5, tiles=1
            )
            for one, text in zip(samples, texts, strict=True)
        }
        result = score(Yes(), samples, answers)
        points.append(Measured(setting=setting, results={"yes": result}, groups={}, flops=lambda _: COST))
    run = SweepRun(points=tuple(points), counts=Counts(wanted=0, shared=0, resumed=0))
    return describe(ABLATION, cells(ABLATION), run, "1x1")


def text_of(section: Section) -> str:
    return " ".join(block.text for block in section.blocks if isinstance(block, Paragraph))


def test_a_page_is_one_ascii_file_without_links() -> None:
    blocks = (
        Paragraph(text="a < b & c"),
        Picture(data=b"<svg/>", format="svg+xml", caption="caption", alt='with "quotes"'),
        Table(head=("x", "y"), rows=(("1", "<2>"),)),
        Figures(items=(("42%", "answers"),)),
        Definitions(items={"term": "caf\u00e9"}),
    )
    html = page("Title", "sub", [Section(title="one", blocks=blocks), Section(title="two", blocks=(), folded=True)])
    html.encode("ascii")
    assert "a &lt; b &amp; c" in html and "&lt;2&gt;" in html and "&#233;" in html
    assert "&quot;quotes&quot;" in html
    assert re.findall(r'(?:src|href)="(?!data:|#)', html) == []
    assert "://" not in html and "<details" in html


def test_a_finding_tells_levels_difference_and_p() -> None:
    made = output({"1x1": ["no"] * 30 + ["yes"] * 10, "2x2": ["yes"] * 36 + ["no"] * 4, "3x3": ["yes"] * 40})
    told = text_of(made.section)
    assert "25.0 %" in told and "100.0 %" in told
    assert "against 1x1 +75.0 points" in told and "p < 0.001" in told
    assert "1x1 to 2x2 +65.0 (p < 0.001); 2x2 to 3x3 +10.0" in told
    assert [f.name for f in made.drawn] == ["grid-tokens", "grid-tasks", "grid-flips", "grid-by-question-type"]


def test_a_baseline_that_nothing_beats_is_said_so() -> None:
    told = text_of(output({"1x1": ["yes"] * 40, "2x2": ["yes"] * 10 + ["no"] * 30}).section)
    assert "No setting does better; against it, 2x2 -75.0 points" in told and "Step by step" not in told


def test_no_samples_are_said_not_crashed(tmp_path: Path) -> None:
    made = output({"1x1": [], "2x2": []})
    assert "nothing was measured" in text_of(made.section)
    write_tables(tmp_path, made)
    assert "nothing was measured" in write_report(tmp_path, "t", "s", [made], {}).read_text()
    assert json.loads((tmp_path / "table.json").read_text()) == []


@pytest.mark.parametrize(
    ("texts", "status", "note"),
    [
        (["yes"], "ok", "n = 1"),
        ([""] * 24, "unparsed", "24 of 24 samples are unparsed"),
        ([""] * 3, "media_error", "3 of 3 samples are media_error"),
        (["yes"] * 24, "ok", "The smallest row has n = 12"),
    ],
)
def test_poor_runs_are_reported_as_such(texts: list[str], status: str, note: str, tmp_path: Path) -> None:
    made = output({"1x1": texts, "2x2": texts}, status=status)
    assert note in text_of(made.section)
    write_tables(tmp_path, made)
    rows = json.loads((tmp_path / "table.json").read_text())
    assert max(row["n"] for row in rows) == len(texts)
    assert write_report(tmp_path, "t", "s", [made], {"a": "b"}).stat().st_size > 5_000


def test_settings_with_other_samples_get_a_sentence_each() -> None:
    rows = output({"1x1": ["yes"] * 10, "2x2": ["no"] * 10}).rows
    mean = [row for row in rows if row.task == "mean"]
    apart: list[SweepRow] = [mean[0], replace(mean[1], baseline="2x2", difference=None)]
    told = finding(apart)
    assert told.startswith("1x1 (10 tokens)") and "2x2 (20 tokens)" in told and "best" not in told


def test_figures_are_the_same_bytes_for_the_same_rows() -> None:
    first, second = (output({"1x1": ["no", "yes"], "2x2": ["yes", "yes"]}) for _ in range(2))
    assert [figure.svg for figure in first.drawn] == [figure.svg for figure in second.drawn]
