"""What a run records: every switch of the model, of its grid and of its clips, so that two runs can be told apart."""

from dataclasses import fields, replace

from anyres.grid import GridSpec
from evals.answerer import LmmAnswerer
from evals.media.looking import Looking
from models.build import load
from models.encoders.spec import EncoderSpec
from models.spec import LlmSpec, ModelSpec, ProjectorSpec
from video.clip import VideoSpec

PARTS = {"grid": GridSpec, "video": VideoSpec, "encoder": EncoderSpec, "projector": ProjectorSpec, "llm": LlmSpec}


def test_a_run_records_every_switch() -> None:
    model, processor = load("pocket")
    video = replace(processor.spec.video, num_frames=5)
    looking = Looking(model, processor, grid=GridSpec(slack=1.0), video=video)
    recorded = LmmAnswerer(model, processor, looking).facts()
    own = {f"model.{field.name}" for field in fields(ModelSpec) if field.name not in PARTS}
    parts = {f"model.{part}.{field.name}" for part, cls in PARTS.items() for field in fields(cls)}
    assert own | parts <= set(recorded)
    # the settings that the run used, not those that the model was saved with
    assert recorded["model.grid.slack"] == 1.0
    assert recorded["model.video.num_frames"] == 5
    assert recorded["model.several"] == processor.spec.several
    assert recorded["model.tokenization"] == processor.spec.tokenization
