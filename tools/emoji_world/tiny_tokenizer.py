"""A small CLIP-format tokenizer: lower-casing byte-level BPE in vocab.json and merges.txt."""

import json
from pathlib import Path

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
CONTEXT_LENGTH = 32
# Words of prompts and everyday nouns that the tokenizer should know besides the names.
COMMON_WORDS = """
a an the of in on at with and or for from by to is it this that one two three some many photo
picture image drawing icon painting sketch cartoon symbol emoji sticker glyph small big large little
tiny huge colourful colorful bright dark good bad old new close up view front side scene thing
object background animal wild domestic farm pet vehicle food fruit vegetable drink plant flower tree
tool toy furniture clothing building place people man woman child face hand red orange yellow green
blue purple pink brown black white grey gray round flat long short hot cold wooden metal plastic
glass paper electronic musical instrument device sport equipment weather nature sea ocean sky water
fire earth house home kitchen office street road city country land air sofa aeroplane motorbike
television tv screen photograph rendering cropped clean dirty blurry low high quality not no any
other unknown something nothing texture pattern part piece group pair set shape material
""".split()


def train_tokenizer(names: list[str], templates: list[str], vocab_size: int, out_dir: Path) -> None:
    """Train the BPE on names, templates and common words and write it for transformers.

    Written: vocab.json, merges.txt, tokenizer_config.json, special_tokens_map.json. The two
    special tokens take the last ids, begin before end, as in CLIP: the old pooling rule looks for
    the highest id of a row.
    """
    from tokenizers import Tokenizer, models, trainers
    from transformers import CLIPTokenizer

    # an empty CLIPTokenizer brings CLIP's own normaliser and word splitting
    clip = CLIPTokenizer().backend_tokenizer
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer, bpe.pre_tokenizer = clip.normalizer, clip.pre_tokenizer
    alphabet = sorted(_byte_characters())
    word_ends = [symbol + "</w>" for symbol in alphabet]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 2,
        # listed here only to fix their ids: the trainer breaks ties of equally frequent pairs by
        # id, and would number word ends in the random order of a hash map
        special_tokens=word_ends,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    fillers = [template.replace("{}", " ") for template in templates]
    bpe.train_from_iterator([*names, *(fillers + COMMON_WORDS) * 2], trainer)
    model = json.loads(bpe.to_str())["model"]
    tokens = [*alphabet, *word_ends]
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    merges = merges[: max(0, vocab_size - 2 - len(tokens))]
    known = set(tokens)
    for left, right in merges:
        if left + right not in known:
            known.add(left + right)
            tokens.append(left + right)
    vocab = {token: index for index, token in enumerate([*tokens, BEGIN, END])}
    _write(out_dir, vocab, merges)


def _byte_characters() -> list[str]:
    from tokenizers import pre_tokenizers

    return pre_tokenizers.ByteLevel.alphabet()


def _write(out_dir: Path, vocab: dict[str, int], merges: list[tuple[str, str]]) -> None:
    from negas.files import write_json, write_text

    lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
    write_text(out_dir / "merges.txt", "\n".join(lines) + "\n")
    write_text(out_dir / "vocab.json", json.dumps(vocab, ensure_ascii=False))
    special = {"bos_token": BEGIN, "eos_token": END, "pad_token": END, "unk_token": END}
    config = {
        **special,
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": CONTEXT_LENGTH,
        "do_lower_case": True,
        "add_prefix_space": False,
        "errors": "replace",
    }
    for name, value in (("special_tokens_map", special), ("tokenizer_config", config)):
        write_json(out_dir / f"{name}.json", value, indent=2)


def load_tokenizer(directory: Path):
    """Load the written tokenizer with transformers, without looking at the network."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
