"""transformers probes the package name `kernels` for another distribution; it must not take ours for that one."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

from packaging.version import Version

import kernels

# within these versions transformers takes a package of this name for Hugging Face's own and uses its interface
TAKEN_FROM, TAKEN_BELOW = Version("0.18.2"), Version("0.19.0")


def run(code: str, root: Path) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_transformers_imports_after_kernels(root: Path) -> None:
    """From a checkout, where `import kernels` finds this project's package first."""
    run(
        "import kernels, transformers\n"
        "from transformers import LlamaForCausalLM, LlavaNextForConditionalGeneration, SiglipVisionModel\n"
        "from transformers.utils import is_kernels_available\n"
        "assert not is_kernels_available(), 'transformers takes this project for another package'\n",
        root,
    )


def test_transformers_imports_before_kernels(root: Path) -> None:
    run("import transformers; from transformers import LlamaForCausalLM; import kernels.pack.op", root)


def test_version_is_outside_the_window() -> None:
    version = Version(importlib.metadata.version("anyres"))
    assert not TAKEN_FROM <= version < TAKEN_BELOW, f"version {version} makes transformers import `kernels` as its own"


def test_kernels_has_no_version() -> None:
    assert "__version__" not in vars(kernels)
