// CLIP's tokenizer from the tokenizer.json of Hugging Face tokenizers, as negas export writes it.

// How GPT-2 shows bytes as letters.
function byteLetters() {
  const letters = [];
  for (let byte = 0, next = 256; byte < 256; byte++) {
    const shown = (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);
    letters.push(String.fromCodePoint(shown ? byte : next++));
  }
  return letters;
}

const LETTERS = byteLetters();
const WITHIN = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

export class Tokenizer {
  constructor(file) {
    const { vocab, merges, unk_token, end_of_word_suffix } = file.model;
    this.vocab = new Map(Object.entries(vocab));
    this.ranks = new Map(merges.map((pair, i) => [[].concat(pair).join(" "), i]));
    this.unknown = this.vocab.get(unk_token);
    this.suffix = end_of_word_suffix;
    this.words = new RegExp(file.pre_tokenizer.pretokenizers[0].pattern.Regex, "gu");
    [this.begin, this.end] = [file.post_processor.cls[1], file.post_processor.sep[1]];
    this.special = new Map(file.added_tokens.map(({ content, id }) => [content, id]));
    const escaped = [...this.special.keys()].map((s) => s.replace(/[|\\{}()[\]^$+*?.]/g, "\\$&"));
    this.specials = new RegExp(`(${escaped.join("|")})`, "u");
  }

  encode(text) {
    const ids = text.split(this.specials).flatMap((part) =>
      this.special.has(part) ? [this.special.get(part)] : this.plain(part)
    );
    return [this.begin, ...ids, this.end];
  }

  plain(text) {
    const spaced = text.normalize("NFC").replace(/\s+/gu, " ");
    const lower = [...spaced].map((letter) => letter.toLowerCase()).join("");
    const pieces = (lower.match(this.words) ?? []).flatMap((word) => word.match(WITHIN));
    return pieces.flatMap((piece) => this.merged(piece));
  }

  merged(piece) {
    const bytes = new TextEncoder().encode(piece);
    const parts = Array.from(bytes, (byte) => LETTERS[byte]);
    parts[parts.length - 1] += this.suffix;
    for (;;) {
      const ranks = parts.slice(1).map((part, i) => this.ranks.get(`${parts[i]} ${part}`) ?? Infinity);
      const best = Math.min(...ranks);
      if (best === Infinity) break;
      const place = ranks.indexOf(best);
      parts.splice(place, 2, parts[place] + parts[place + 1]);
    }
    return parts.map((part) => this.vocab.get(part) ?? this.unknown);
  }
}
