"""Tokenizers of checkpoint folders: a sentencepiece model, no tokenizer, and the package that is missing."""

import json
import sys

import pytest

from models.checkpoints.tokenizer import find_tokenizer
from models.processor import Processor

TEXT = ["A chat. USER: what is this? ASSISTANT: a cat and a dog", "the quick brown fox jumps over the lazy dog"]


@pytest.mark.parametrize("settings", [{}, {"add_bos_token": True, "legacy": False}])
def test_a_sentencepiece_model_gives_its_own_ids(tmp_path, tiny_spec, settings):
    sentencepiece = pytest.importorskip("sentencepiece", reason="needs the extra [sentencepiece]")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT * 50),
        model_prefix=str(tmp_path / "tokenizer"),
        vocab_size=330,
        model_type="bpe",
        byte_fallback=True,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    names = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**names, **settings}))
    processor = Processor(tiny_spec(), find_tokenizer(tmp_path))
    reference = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    for text in ["A chat. USER: ", "\nwhat is this? ASSISTANT:", "zebra \u00e9"]:
        assert processor.encode(text) == reference.encode(text)
    assert (processor.bos_id, processor.stop_ids) == (1, (2,))
    assert processor.decode([*processor.encode("a cat"), 2]) == "a cat"


def test_the_missing_package_is_named(tmp_path, monkeypatch):
    (tmp_path / "tokenizer.model").touch()
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ValueError, match=r"tokenizer.model: converting it needs the package sentencepiece"):
        find_tokenizer(tmp_path)


def test_no_tokenizer(tmp_path):
    with pytest.raises(ValueError, match=r"no tokenizer, looked for tokenizer.json and tokenizer.model"):
        find_tokenizer(tmp_path)
