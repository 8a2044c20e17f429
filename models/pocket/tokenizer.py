"""The tokenizer of the pocket model: one token a word, as a real tokenizer.json."""

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel

from models.pocket.words import SPECIALS, VOCABULARY


def build_tokenizer() -> Tokenizer:
    """Return the word-level tokenizer: lower case, split at spaces, punctuation apart, unknown words as <unk>."""
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(r"[,?.:]"), "isolated")]
    )
    tokenizer.add_special_tokens(list(SPECIALS))
    return tokenizer
