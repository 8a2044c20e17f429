"""NExT-QA, multiple choice (Xiao et al., CVPR 2021), from its official CSV: five options about a clip.

Files: val.csv or test.csv of the NExT-QA repository, and the VidOR videos as `{video}.mp4`, `NExTVideo/{video}.mp4` or,
with map_vid_vidorID.json, `{vidor id}.mp4` (as in 0101/2909445186.mp4).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.prompts import LETTER, ask
from evals.sample import LABELS, Media, Sample
from evals.task import Parsed, Task
from evals.tasks.matching import CHOICE, parse_sample, score_sample

HEADER = ("video", "frame_count", "width", "height", "question", "answer", "qid", "type", "a0", "a1", "a2", "a3", "a4")
OPTIONS = ("a0", "a1", "a2", "a3", "a4")
# causal why and how, temporal next / previous / current, descriptive counting / location / other
GROUPS = {"C": ("CW", "CH"), "T": ("TN", "TP", "TC"), "D": ("DC", "DL", "DO")}
KINDS = tuple(kind for kinds in GROUPS.values() for kind in kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class NextQaMc(Task):
    """nextqa-mc: `csv` the annotation file, `videos` the folder of clips, `vidor_map` the optional id map."""

    csv: Path
    videos: Path
    vidor_map: Path | None = None
    prompt_form: str = LETTER
    max_new_tokens: int = 16
    name: str = "nextqa-mc"

    @property
    def version(self) -> str:
        """Return prompt form and parser."""
        return f"{self.prompt_form} {CHOICE}"

    @property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Return the official groups: C causal, T temporal, D descriptive."""
        return GROUPS

    def samples(self) -> Sequence[Sample]:
        """Return one sample a row, its id `nextqa-mc/{val or test}/{video}_{qid}`, its cluster the video.

        A video that is not there still has its samples: they are counted as media_error. Raises ValueError for a file
        that is not the official CSV, naming the line, and for a folder of videos that does not exist.
        """
        if not Path(self.videos).is_dir():
            raise ValueError(f"task.videos: {self.videos} is not a folder; expected the one with the clips of NExT-QA")
        vidor = {} if self.vidor_map is None else json.loads(Path(self.vidor_map).read_text())
        with Path(self.csv).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != HEADER:
                raise ValueError(f"{self.csv}: header {reader.fieldnames}, expected {','.join(HEADER)}")
            return [self._sample(row, f"{self.csv}:{reader.line_num}", vidor) for row in reader]

    def prompt(self, sample: Sample) -> str:
        """Return the question with a question mark, five lettered options and the prompt form's ending."""
        return ask(self.prompt_form, sample.question, sample.options)

    def parse(self, sample: Sample, text: str) -> Parsed:
        """Return the label read in the text."""
        return parse_sample(sample, text)

    def score(self, sample: Sample, parsed: Parsed) -> float:
        """Return 1 for the right option, else 0."""
        return score_sample(sample, parsed)

    def _sample(self, row: dict[str, str], where: str, vidor: Mapping[str, str]) -> Sample:
        video, qid, answer, kind = row["video"], row["qid"], row["answer"], row["type"]
        if None in row or None in row.values():
            raise ValueError(f"{where}: expected {len(HEADER)} cells")
        if not video.isdigit() or answer not in set("01234") or kind not in KINDS:
            raise ValueError(
                f"{where}: video {video!r}, answer {answer!r}, type {kind!r}; expected digits, 0 to 4, one of {KINDS}"
            )
        return Sample(
            id=f"{self.name}/{Path(self.csv).stem}/{video}_{qid}",
            media=(Media.file(self._find(video, vidor)),),
            question=row["question"] + "?",
            options=tuple(row[key] for key in OPTIONS),
            answers=(LABELS[int(answer)],),
            # the official evaluation merges "previous" into "next"
            kind="TN" if kind == "TP" else kind,
            cluster=video,
        )

    def _find(self, video: str, vidor: Mapping[str, str]) -> Path:
        """Return the file of a video in the first layout that has it; where none has, the plain one."""
        names = [f"{video}.mp4", f"NExTVideo/{video}.mp4"]
        if video in vidor:
            names.append(f"{vidor[video]}.mp4")
        found = [path for name in names if (path := Path(self.videos) / name).is_file()]
        return found[0] if found else Path(self.videos) / names[0]
