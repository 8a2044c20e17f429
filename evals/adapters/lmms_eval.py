"""What lmms-eval finds under its entry point "lmms_eval.models": a model named anyres.

It is read while lmms-eval's own package is half imported: only its registry may be imported here, and no torch.
"""

from lmms_eval.models.registry_v2 import ModelManifest


def manifests() -> ModelManifest:
    """Return where lmms-eval finds the model."""
    return ModelManifest(model_id="anyres", chat_class_path="evals.adapters.lmms_eval_model.AnyResAdapter")
