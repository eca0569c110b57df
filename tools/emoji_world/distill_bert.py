"""Distil a tiny BERT whose name tokens point to target directions, for Grounding DINO.

Grounding DINO reads a caption "name. name. " with a block-diagonal attention mask and position
ids that start anew at every name: the tokens of "name ." see only each other. So a phrase is
encoded here alone, without [CLS] and [SEP], and comes out as in any caption. The detector scores
every token of a name and averages, hence the loss asks each name token, not only their mean, for
the name's direction. Shapes: B phrases, T tokens, V names, W channels of BERT, D target channels.
"""

import torch
from distill import TEMPLATES, TextPairs, distill_loss
from teacher import principal_axes
from torch import Tensor, nn
from torch.nn.functional import normalize
from wordpiece_tokenizer import MAX_POSITIONS

# Unlike a CLIP, the stock detector reads bare names: these carry no shift either.
PHRASE_TEMPLATES = {**TEMPLATES, "{}": 0.0}


class PhraseTower(nn.Module):
    """A BERT without pooler and the fixed axes [D, W] that its channels stand for in training.

    The axes are the targets' principal ones. They are orthonormal, so cosines between BERT's own
    outputs are cosines between projected ones: nothing but BERT has to be shipped.
    """

    def __init__(self, bert: nn.Module, directions: Tensor) -> None:
        """Start the last normalisation's gains at the spread of `directions` [V, D] on the axes."""
        super().__init__()
        width = bert.config.hidden_size
        axes, scale, self.bound = principal_axes(directions, width)
        self.bert = bert
        self.register_buffer("axes", torch.zeros(directions.shape[1], width))
        self.axes[:, : axes.shape[1]] = axes
        with torch.no_grad():
            gain = bert.encoder.layer[-1].output.LayerNorm.weight
            gain[: len(scale)] = scale / scale.square().mean().sqrt()

    def forward(self, ids: Tensor) -> Tensor:
        """Encode phrases, token ids [B, T] padded with 0; return [B, T, D], not normalised."""
        mask = (ids != 0).long()
        hidden = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        return hidden @ self.axes.T


def build_bert(vocab_size: int, width: int, layers: int, mlp: int, seed: int) -> nn.Module:
    """Create a randomly initialised `BertModel` without pooler (4 heads, no dropout)."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=mlp,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=MAX_POSITIONS,
        hidden_dropout_prob=0.0,  # a detector's text features should not differ call to call
        attention_probs_dropout_prob=0.0,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BertModel(config, add_pooling_layer=False)


class PhrasePairs(TextPairs):
    """(name, template) pairs as phrases "a photo of name ." with a mask of the name's tokens."""

    templates = PHRASE_TEMPLATES
    measured = ("{}", "a photo of {}", "an icon of {}")

    def tokenise(self, tokenizer, words: list[str]) -> tuple[Tensor, Tensor]:
        """Also keeps `name_mask` [templates, 2, V, T], True at the tokens of the name."""
        # a period or question mark would end the phrase
        words = [word.replace(".", " ").replace("?", " ") for word in words]
        pieces = tokenizer(words, add_special_tokens=False)["input_ids"]
        end = tokenizer.convert_tokens_to_ids(".")
        rows, spans = [], []
        for template in self.templates:
            before = tokenizer(template.removesuffix("{}"), add_special_tokens=False)["input_ids"]
            rows += [before + piece + [end] for piece in pieces]
            spans += [(len(before), len(before) + len(piece)) for piece in pieces]
        length = max(map(len, rows))
        ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
        columns, spans = torch.arange(length), torch.tensor(spans)
        name_mask = (columns >= spans[:, :1]) & (columns < spans[:, 1:])
        self.name_mask = name_mask.view(len(self.templates), 2, len(words) // 2, length)
        return ids, (ids != 0).long()

    def pick(self, names: Tensor, templates: Tensor, plural: Tensor) -> tuple[Tensor, Tensor]:
        """Return token ids [B, T] and the mask of name tokens [B, T]."""
        ids = super().pick(names, templates, plural)
        return ids, self.name_mask[templates, plural, names][:, : ids.shape[1]]

    def encode(self, model: PhraseTower, texts: tuple[Tensor, Tensor]) -> Tensor:
        """Return the mean [B, D] over the name tokens."""
        ids, name_mask = texts
        return _masked_mean(model(ids), name_mask)

    def loss(
        self, model: PhraseTower, texts: tuple[Tensor, Tensor], targets: Tensor, relation: float
    ) -> tuple[Tensor, Tensor]:
        """Return (loss, mean cosine); half of the loss is of the means, half of single tokens."""
        ids, name_mask = texts
        feats = model(ids)
        loss, cosine = distill_loss(_masked_mean(feats, name_mask), targets, relation)
        tokens = (normalize(feats, dim=-1) * targets[:, None]).sum(-1)
        # first over the tokens of a name: long names do not count more
        each = (tokens * name_mask).sum(1) / name_mask.sum(1)
        return loss + (1 - each.mean()), cosine

    @torch.no_grad()
    def measure(self, model: PhraseTower, template: str) -> dict:
        """Also the cosine of single name tokens to the name's target: mean, and worst."""
        names = torch.arange(len(self.directions))
        templates = torch.full_like(names, list(self.templates).index(template))
        ids, mask = self.pick(names, templates, torch.zeros_like(names))
        feats = normalize(model(ids), dim=-1)
        cosine = (feats * self.targets(names, templates)[:, None]).sum(-1)[mask]
        tokens = {"mean": round(cosine.mean().item(), 4), "min": round(cosine.min().item(), 4)}
        return super().measure(model, template) | {"single_tokens": tokens}


def _masked_mean(feats: Tensor, mask: Tensor) -> Tensor:
    return (feats * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
