"""Distil a tiny text tower to target directions (seeded, resumable, one thread is enough).

`TextPairs` reads texts as CLIP does; distill_bert.py has the twin for BERT. Shapes: V names,
B texts of a batch, D channels. Cosine distillation plus a relational term
(Park et al., "Relational Knowledge Distillation", 2019).
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from teacher import principal_axes
from torch import Tensor, nn
from torch.nn.functional import normalize

from negas.embeddings.text import encode_tokens, tokenize_labels
from negas.files import whole_file

# Share of the template's own direction in the target; 0 where the template adds no meaning.
TEMPLATES = {
    "a {}": 0.0,
    "a photo of {}": 0.0,
    "a photo of a {}": 0.0,
    "the {}": 0.0,
    "{}": 0.25,
    "one {}": 0.25,
    "a picture of {}": 0.25,
    "a drawing of {}": 0.25,
    "an icon of {}": 0.25,
    "a small {}": 0.25,
    "a colourful {}": 0.25,
}


@dataclass
class DistillOptions:
    """Schedule of the distillation. `relation` weighs the relational term."""

    steps: int = 3000
    batch: int = 256
    lr: float = 2e-3
    relation: float = 20.0
    seed: int = 0


def build_text_model(
    vocab_size: int, context_length: int, dim: int, width: int, layers: int, mlp: int, seed: int
) -> nn.Module:
    """Create a randomly initialised `CLIPTextModelWithProjection` (4 heads, modern eos id)."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=mlp,
        projection_dim=dim,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=context_length,
        bos_token_id=vocab_size - 2,
        eos_token_id=vocab_size - 1,
        pad_token_id=vocab_size - 1,
        hidden_act="quick_gelu",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPTextModelWithProjection(config)


def start_at_axes(model: nn.Module, directions: Tensor) -> float:
    """Set the projection to the targets' principal axes; return the bound on the mean cosine."""
    weight = model.text_projection.weight
    axes, scale, bound = principal_axes(directions, weight.shape[1])
    with torch.no_grad():
        weight[:, : axes.shape[1]] = axes * scale
    return bound


def template_shifts(
    directions: Tensor, seed: int, templates: dict[str, float] = TEMPLATES
) -> Tensor:
    """Return one fixed shift per template [templates, D], inside the span of the names.

    A random mixture of names: directions outside their span would cost channels of a narrow tower.
    """
    generator = torch.Generator().manual_seed(seed + 1)
    mixture = torch.randn(len(templates), len(directions), generator=generator)
    unit = normalize(mixture @ directions, dim=-1)
    return unit * torch.tensor(list(templates.values()))[:, None]


class TextPairs:
    """Every (name, template) pair, tokenised once; draws batches of texts and targets."""

    templates = TEMPLATES
    measured = ("a photo of {}", "a {}", "{}", "an icon of {}")  # of the templates, for the log

    def __init__(self, tokenizer, names: list[str], directions: Tensor, shifts: Tensor) -> None:
        """Tokenise plural forms too: they share the target of their name."""
        self.directions, self.shifts = directions, shifts
        words = names + [_plural(name) for name in names]
        ids, mask = self.tokenise(tokenizer, words)
        self.ids = ids.view(len(self.templates), 2, len(names), -1)
        self.lengths = mask.sum(-1).view(len(self.templates), 2, len(names))

    def tokenise(self, tokenizer, words: list[str]) -> tuple[Tensor, Tensor]:
        """Return token ids and mask [templates * words, T], all words of a template in a row."""
        texts = [template.replace("{}", word) for template in self.templates for word in words]
        return tokenize_labels(tokenizer, texts, template="{}")

    def targets(self, names: Tensor, templates: Tensor) -> Tensor:
        """Return unit targets [B, D] of names [B] in templates [B]."""
        return normalize(self.directions[names] + self.shifts[templates], dim=-1)

    def of(self, template: str) -> Tensor:
        """Return the unit targets [V, D] of all names in one template."""
        names = torch.arange(len(self.directions))
        return self.targets(names, torch.full_like(names, list(self.templates).index(template)))

    def pick(self, names: Tensor, templates: Tensor, plural: Tensor) -> Tensor:
        """Return token ids [B, T], cut to the longest of the batch."""
        length = int(self.lengths[templates, plural, names].max())
        return self.ids[templates, plural, names][:, :length]

    def sample(self, pool: Tensor, batch: int, generator: torch.Generator) -> tuple:
        """Draw a batch of distinct names; one text in ten is in the plural."""
        order = torch.randperm(len(pool), generator=generator)[:batch]
        names = pool[order]
        templates = torch.randint(len(self.templates), (len(names),), generator=generator)
        plural = (torch.rand(len(names), generator=generator) < 0.1).long()
        return self.pick(names, templates, plural), self.targets(names, templates)

    def encode(self, model: nn.Module, texts: Tensor) -> Tensor:
        """Return features [B, D], not normalised, of picked texts."""
        return encode_tokens(model, texts)

    def loss(
        self, model: nn.Module, texts: Tensor, targets: Tensor, relation: float
    ) -> tuple[Tensor, Tensor]:
        """Return (loss, mean cosine) of picked texts against unit targets [B, D]."""
        return distill_loss(self.encode(model, texts), targets, relation)

    def measure(self, model: nn.Module, template: str) -> dict:
        """Return the :func:`quality` of all names in one template."""
        everything = torch.arange(len(self.directions))
        return quality(encode_template(model, self, template), self.of(template), everything)


def _plural(name: str) -> str:
    if name.endswith(("s", "x", "ch", "sh")):
        return name if name.endswith("s") else name + "es"
    return name[:-1] + "ies" if name.endswith("y") and name[-2:-1] not in "aeiou" else name + "s"


def distill_loss(feats: Tensor, targets: Tensor, relation: float) -> tuple[Tensor, Tensor]:
    """Return (loss, mean cosine) of features [B, D] against unit targets [B, D]."""
    unit = normalize(feats, dim=-1)
    cosine = (unit * targets).sum(-1).mean()
    gap = (unit @ unit.T - targets @ targets.T).square().mean()
    return (1 - cosine) + relation * gap, cosine


def warmup_cosine(steps: int) -> Callable[[int], float]:
    """Learning-rate factor: a straight rise over the first steps, then half a cosine to zero."""
    warmup = max(1, min(100, steps // 10))
    return lambda step: min((step + 1) / warmup, 0.5 + 0.5 * math.cos(math.pi * step / steps))


def train_text(
    model: nn.Module,
    pairs: TextPairs,
    pool: Tensor,
    options: DistillOptions,
    checkpoint: Path | None = None,
    title: str = "distil",
) -> list[dict]:
    """Train in place on the names of `pool` [P] (indices); return the log, 20 rows at most.

    With a `checkpoint` path an interrupted run continues to the same numbers, see `train`.
    """
    generator = torch.Generator().manual_seed(options.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=0.0)

    def loss_of(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        texts, targets = pairs.sample(pool, options.batch, generator)
        loss, cosine = pairs.loss(model, texts, targets, options.relation)
        return loss, {"cosine": cosine}

    state = {"generator": (generator.get_state, generator.set_state)}
    return train(model, optimizer, options.steps, loss_of, state, checkpoint, title, rows=19)


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: int,
    loss_of: Callable[[int], tuple[Tensor, dict[str, Tensor]]],
    state: dict[str, tuple[Callable[[], Tensor], Callable[[Tensor], object]]],
    checkpoint: Path | None,
    title: str,
    rows: int,
    save_every_s: float = 60.0,
) -> list[dict]:
    """Train in place with a warm-up and gradients clipped at 1; return the log.

    With a `checkpoint` path everything is written there every minute and read at the start.

    Args:
        model: What is trained, or most of it.
        optimizer: Of all that is trained.
        steps: Of the optimizer.
        loss_of: The step's number -> its loss, and values for the log by name.
        state: What else a step depends on: name -> (how to get it, how to set it).
        checkpoint: The file, or None.
        title: Of the bar.
        rows: Of the log, one more at most.
        save_every_s: Seconds between two checkpoints.
    """
    from tqdm import tqdm

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_cosine(steps))
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    start, log = 0, []
    if checkpoint is not None and checkpoint.is_file():
        stored = torch.load(checkpoint, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(stored[name])
        for name, (_, restore) in state.items():
            restore(stored[name])
        start, log = stored["step"], stored["log"]
    model.train()
    saved = time.monotonic()
    bar = tqdm(range(start, steps), desc=title, initial=start, total=steps)
    for step in bar:
        loss, values = loss_of(step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        last = step == steps - 1
        if step % max(1, steps // rows) == 0 or last:
            shown = {name: round(value.item(), 4) for name, value in values.items()}
            log.append({"step": step, "loss": round(loss.item(), 4), **shown})
            bar.set_postfix(log[-1])
        if checkpoint is not None and (last or time.monotonic() - saved > save_every_s):
            stored = {name: part.state_dict() for name, part in parts.items()}
            stored |= {name: get() for name, (get, _) in state.items()}
            with whole_file(checkpoint) as partial:
                torch.save(stored | {"step": step + 1, "log": log}, partial)
            saved = time.monotonic()
    model.eval()
    return log


@torch.no_grad()
def encode_template(model: nn.Module, pairs: TextPairs, template: str) -> Tensor:
    """Return unit features [V, D] of all names in one template."""
    index = list(pairs.templates).index(template)
    rows = []
    for names in torch.arange(len(pairs.directions)).split(256):
        texts = pairs.pick(names, torch.full_like(names, index), torch.zeros_like(names))
        rows.append(normalize(pairs.encode(model, texts), dim=-1))
    return torch.cat(rows)


def quality(feats: Tensor, directions: Tensor, subset: Tensor) -> dict[str, float]:
    """Measure features [V, D] against targets [V, D] on the names `subset` [S].

    Returns:
        `cosine` to the own target, `cosine_random` to another name's, `top1`/`top10` and
        `median_rank` (1 is best) of the own target among all V, `relation`: Pearson correlation of
        the pairwise cosines between subset and all names with the teacher's.
    """
    similarity = feats[subset] @ directions.T
    right = similarity[torch.arange(len(subset)), subset]
    rank = (similarity > right[:, None]).sum(1) + 1
    other = (similarity.sum(1) - right) / (len(directions) - 1)
    keep = torch.ones(len(subset), len(directions), dtype=torch.bool)
    keep[torch.arange(len(subset)), subset] = False
    pairs = torch.stack(
        [(feats[subset] @ feats.T)[keep], (directions[subset] @ directions.T)[keep]]
    )
    return {
        "cosine": round(right.mean().item(), 4),
        "cosine_min": round(right.min().item(), 4),
        "cosine_random": round(other.mean().item(), 4),
        "top1": round((rank == 1).float().mean().item(), 4),
        "top10": round((rank <= 10).float().mean().item(), 4),
        "median_rank": float(rank.median()),
        "relation": round(torch.corrcoef(pairs)[0, 1].item(), 4),
    }
