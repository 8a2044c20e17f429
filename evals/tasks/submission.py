"""The file that a test server takes, where a benchmark keeps the answers: one record a question."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from evals.result import Prediction
from evals.sample import Sample

SUBMISSION = "submission.json"


def submission(key: str, samples: Sequence[Sample], predictions: Mapping[str, Prediction]) -> Mapping[str, str]:
    """Return submission.json if an answer is not public: [{key: native id, "answer": text}], "" for a failed one."""
    if all(sample.answers for sample in samples):
        return {}
    records = []
    for sample in sorted(samples, key=lambda sample: sample.id):
        native = sample.id.rsplit("/", 1)[1]
        records.append({key: int(native), "answer": predictions[sample.id].answer or ""})
    return {SUBMISSION: json.dumps(records, indent=2) + "\n"}
