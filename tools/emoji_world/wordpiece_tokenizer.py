"""A small BERT-format tokenizer: lower-casing WordPiece in vocab.txt.

Every word of the names is one token, so that most labels are one to three tokens. Other words
fall into the longest known beginnings, frequent pieces and letters: no text of ASCII characters
ever becomes [UNK].
"""

import string
from collections import Counter
from pathlib import Path

from negas.files import write_json, write_text

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MAX_POSITIONS = 256
_LONGEST_PIECE = 5


def split_words(text: str) -> list[str]:
    """Split a text as BERT does before WordPiece: lower case, no accents, punctuation apart."""
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    normal = BertNormalizer(lowercase=True, strip_accents=True).normalize_str(text)
    return [word for word, _ in BertPreTokenizer().pre_tokenize_str(normal)]


def build_vocabulary(names: list[str], templates: list[str], size: int) -> list[str]:
    """Return up to `size` tokens: special ones, characters, all words, the most frequent pieces.

    Args:
        names: Class names; each of their words becomes a token.
        templates: Texts with `{}`; their words become tokens too.
        size: Most tokens allowed; short lists of names have fewer pieces.

    Raises:
        ValueError: If the words alone need more than `size` tokens.
    """
    words = Counter(word for name in names for word in split_words(name))
    fillers = [split_words(template.replace("{}", " ")) for template in templates]
    letters = string.ascii_lowercase + string.digits
    tokens = dict.fromkeys(SPECIAL + list(string.punctuation + letters))
    tokens |= dict.fromkeys("##" + letter for letter in letters)
    tokens |= dict.fromkeys(sorted({word for filler in fillers for word in filler}))
    tokens |= dict.fromkeys(sorted(words))
    if len(tokens) > size:
        raise ValueError(
            f"the {len(names)} names need {len(tokens)} WordPiece tokens, --vocab-size is {size}; "
            "raise it."
        )
    # a piece is worth the letters it saves; ties in alphabetical order keep the file reproducible
    worth = Counter()
    for word in filter(str.isalpha, words):
        for start in range(len(word)):
            for end in range(start + 2, min(len(word), start + _LONGEST_PIECE) + 1):
                worth[("##" if start else "") + word[start:end]] += end - start - 1
    ranked = sorted(worth, key=lambda piece: (-worth[piece], piece))
    spare = [piece for piece in ranked if piece not in tokens]
    return [*tokens, *spare[: size - len(tokens)]]


def write_tokenizer(vocabulary: list[str], directory: Path) -> None:
    """Write vocab.txt and tokenizer_config.json for transformers' `BertTokenizer`."""
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "strip_accents": True,
        "model_max_length": MAX_POSITIONS,
        **{f"{token.strip('[]').lower()}_token": token for token in SPECIAL},
    }
    write_text(directory / "vocab.txt", "\n".join(vocabulary) + "\n")
    write_json(directory / "tokenizer_config.json", config, indent=2)
