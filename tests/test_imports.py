"""The direction of imports between packages, the modules that must stay free of torch, and where hydra may appear."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("kernels", "anyres", "video", "models", "evals", "conf")
MAY_IMPORT = {
    "kernels": {"kernels"},
    "anyres": {"kernels", "anyres"},
    "video": {"kernels", "anyres", "video"},
    "models": {"kernels", "anyres", "video", "models"},
    "evals": {"kernels", "anyres", "video", "models", "evals"},
    "conf": {"kernels", "anyres", "video", "models", "evals", "conf"},
}
# they import nothing of the project, so anybody may import them
LEAVES = {"conf/build.py", "conf/arguments.py", "conf/own.py", "conf/nearest.py"}
LEAF_MODULES = {path.removesuffix(".py").replace("/", ".") for path in LEAVES}
HYDRA = {"hydra", "omegaconf"}
PURE = [
    *(f"anyres.{name}" for name in ("geometry", "grid", "unpad", "threshold", "rows", "plan", "cost")),
    *(f"video.{name}" for name in ("clip", "sampling", "pooling", "plan", "budget")),
    *(f"models.prompt.{name}" for name in ("template", "templates", "positions", "expand")),
    "models.spec",
    "models.encoders.spec",
    "models.training.stage",
    "models.llms.rope",
    *(f"evals.{name}" for name in ("sample", "task", "result", "prompts", "parse", "score")),
    *(f"evals.ablation.{name}" for name in ("axes", "planner", "prices", "stats", "table")),
    "conf.build",
    "anyres.resize",
]


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """Return the top-level names that a file imports, leaving out blocks under `if TYPE_CHECKING`."""
    names: set[str] = set()
    todo: list[ast.AST] = [ast.parse(path.read_text())]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            names |= {module.split(".")[0]} if module not in LEAF_MODULES else set()
        todo.extend(ast.iter_child_nodes(node))
    return names


def test_arrows() -> None:
    wrong = []
    for path in sources():
        where = path.relative_to(ROOT)
        if path.name == "main.py":
            continue
        allowed = set() if where.as_posix() in LEAVES else MAY_IMPORT[where.parts[0]]
        wrong += [f"{where} imports {name}" for name in imported(path) & set(PACKAGES) - allowed]
    assert not wrong, "\n".join(wrong)


def test_hydra_only_in_main_files() -> None:
    wrong = [str(p.relative_to(ROOT)) for p in sources() if p.name != "main.py" and imported(p) & HYDRA]
    assert not wrong, f"hydra or omegaconf imported outside main.py: {wrong}"


def test_package_docstring_files_hold_nothing_else() -> None:
    for package in ("kernels", "models"):
        body = ast.parse((ROOT / package / "__init__.py").read_text()).body
        assert len(body) == 1 and isinstance(body[0], ast.Expr), f"{package}/__init__.py must be a docstring only"


def test_pure_modules_exist_and_import_without_torch() -> None:
    """One subprocess imports all pure modules, then none of the heavy packages may be loaded."""
    code = (
        "import importlib, sys\n"
        f"for name in {PURE!r}: importlib.import_module(name)\n"
        "heavy = sorted({'torch', 'transformers', 'hydra', 'omegaconf', 'decord', 'av'} & set(sys.modules))\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_sources_are_ascii(path: Path) -> None:
    path.read_bytes().decode("ascii")
