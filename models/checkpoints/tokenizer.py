"""The tokenizer of a checkpoint folder: tokenizer.json, or a sentencepiece model converted to one."""

from pathlib import Path

from tokenizers import Tokenizer

from models.checkpoints.format import TOKENIZER, read_json, read_tokenizer

SENTENCEPIECE, SETTINGS = "tokenizer.model", "tokenizer_config.json"


def find_tokenizer(folder: Path) -> Tokenizer:
    """Return a folder's tokenizer; of an old Llama folder that only has tokenizer.model, its conversion.

    Raises ValueError naming the files that were looked for, or the package that the conversion needs.
    """
    if (folder / TOKENIZER).is_file():
        return read_tokenizer(folder / TOKENIZER)
    if (folder / SENTENCEPIECE).is_file():
        return _converted(folder)
    raise ValueError(f"{folder}: no tokenizer, looked for {TOKENIZER} and {SENTENCEPIECE}")


def _converted(folder: Path) -> Tokenizer:
    try:
        import sentencepiece  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"{folder / SENTENCEPIECE}: converting it needs the package sentencepiece "
            f"(pip install anyres[sentencepiece]), or put a {TOKENIZER} beside it"
        ) from error
    from transformers import LlamaTokenizer

    # transformers 5 takes silence for no <s> in front, the class that these folders were made with for one
    add_bos = read_json(folder / SETTINGS).get("add_bos_token", True) if (folder / SETTINGS).is_file() else True
    # the class is named, so neither config.json nor the folder's name has a say
    converted = LlamaTokenizer.from_pretrained(folder, local_files_only=True, add_bos_token=add_bos)
    return converted.backend_tokenizer
