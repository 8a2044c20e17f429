"""No code from data: what must not stand anywhere in the packages, found in their syntax trees."""

import ast
from pathlib import Path

import pytest

PACKAGES = ("anyres", "conf", "evals", "kernels", "models", "video")
# attributes that must not be called, as (module, name)
CALLS = {
    ("pickle", "load"), ("pickle", "loads"), ("pickle", "Unpickler"), ("marshal", "loads"), ("dill", "load"),
    ("joblib", "load"), ("yaml", "load"), ("yaml", "unsafe_load"), ("yaml", "full_load"), ("os", "system"),
    ("os", "popen"), ("hydra.utils", "instantiate"), ("utils", "instantiate"), ("subprocess", "getoutput"),
    ("ast", "literal_eval"),
}  # fmt: skip
IMPORTS = {("hydra.utils", "instantiate"), ("pickle", "load"), ("pickle", "loads"), ("yaml", "load")}
NAMES = {"eval", "exec", "compile", "__import__", "instantiate"}
# keywords that must not have this value
KEYWORDS = {"shell": True, "verify": False, "trust_remote_code": True, "allow_pickle": True, "weights_only": False}


def faults(source: str) -> list[str]:
    """Return what a source holds that it must not, with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            found += [f"{node.lineno}: {node.module}.{a.name}" for a in node.names if (node.module, a.name) in IMPORTS]
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        module, _, attribute = name.rpartition(".")
        if name in NAMES or (module, attribute) in CALLS:
            found.append(f"{node.lineno}: {name}(...)")
        if name == "torch.load" and not any(_is(keyword, "weights_only", True) for keyword in node.keywords):
            found.append(f"{node.lineno}: torch.load without weights_only=True")
        found += [
            f"{node.lineno}: {keyword.arg}={KEYWORDS[keyword.arg]}"
            for keyword in node.keywords
            if keyword.arg in KEYWORDS and _is(keyword, keyword.arg, KEYWORDS[keyword.arg])
        ]
    return found


def _is(keyword: ast.keyword, name: str, value: bool) -> bool:
    return keyword.arg == name and isinstance(keyword.value, ast.Constant) and keyword.value.value is value


def files(root: Path) -> list[Path]:
    return sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))


def test_no_code_from_data(root: Path) -> None:
    paths = files(root)
    assert len(paths) > 100
    found = {str(path.relative_to(root)): faults(path.read_text(encoding="utf-8")) for path in paths}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    [
        "eval(answer)", "exec(text)", "pickle.load(file)", "from pickle import loads", "yaml.load(text)",
        "subprocess.run('ls', shell=True)", "httpx.get(url, verify=False)", "torch.load(path)",
        "torch.load(path, weights_only=False)", "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "hydra.utils.instantiate(config)", "from hydra.utils import instantiate", "np.load(path, allow_pickle=True)",
        "os.system('ls')", "__import__('os')",
    ],
)  # fmt: skip
def test_each_fault_is_found(source: str) -> None:
    assert len(faults(source)) >= 1


@pytest.mark.parametrize(
    "source", ["model.eval()", "torch.load(path, weights_only=True)", "yaml.safe_load(text)", "re.compile(words)"]
)
def test_what_is_harmless_is_not(source: str) -> None:
    assert faults(source) == []


RUN = "__import__('os').system('touch MARK')"
PAYLOADS = [
    RUN, f"({RUN})", f"[{RUN}]", f"{{'pred': {RUN}, 'score': 5}}", f'{{"pred": "yes", "score": {RUN}}}',
    f"\\boxed{{{RUN}}}", f"The answer is {RUN}", f"A. {RUN}", f"{RUN}%", f"1 if {RUN} else 2",
    f"lambda: {RUN}", f"exec({RUN!r})",
    "open('MARK', 'w')", "{'pred': open('MARK', 'w'), 'score': 1}", "().__class__.__bases__[0].__subclasses__()",
    "!!python/object/apply:os.system ['touch MARK']", "{{7*7}}", "${oc.env:HOME}", "${now:%s}", "$(touch MARK)",
    "`touch MARK`", "; touch MARK", "| touch MARK", "&& touch MARK", "cos\nsystem\n(S'touch MARK'\ntR.", "%s%n%x",
    "1e999999999", "9" * 5000, "[" * 5000, '{"a":' * 5000, "((((a+)+)+)+)$" * 50, "<!ENTITY x SYSTEM 'file:///MARK'>",
]  # fmt: skip


def test_answers_and_replies_are_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evals.judge.readers import READERS
    from evals.metrics.anls import anls
    from evals.metrics.relaxed import relaxed_accuracy
    from evals.metrics.vqa import vqa_accuracy
    from evals.parse import parse_choice, parse_text, parse_verbatim, parse_yes_no
    from evals.sample import Sample

    monkeypatch.chdir(tmp_path)
    sample = Sample(id="a", media=(), question="?", options=("x", "y"), answers=("A",))
    assert len(PAYLOADS) >= 30
    for text in PAYLOADS:
        parse_choice(text, sample.options, sample.labels)
        for read in (parse_text, parse_verbatim, parse_yes_no):
            read(text)
        assert anls(text[:200], ["x"]) >= 0
        assert relaxed_accuracy(text, "5") == 0
        assert vqa_accuracy(text, ["x"] * 10) == 0
        for reader in READERS.values():
            reader.read(sample, text)
    assert list(tmp_path.iterdir()) == []
