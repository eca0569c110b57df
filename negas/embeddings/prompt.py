"""Learnable context of the text prompt, shared by ID and negative labels (CoOp, NegA).

Shapes: L texts, T tokens, H channels of the text transformer.
CoOp: Zhou et al., "Learning to Prompt for Vision-Language Models", 2022.
"""

import torch
from torch import Tensor, nn


class PromptLearner(nn.Module):
    """Context vectors put in the place of the first words of "a photo of <name>".

    The parameter `ctx` [num_ctx, H] is the only state; the (frozen) text model is handed to
    `forward`, so a checkpoint of the prompt holds a few kB and nothing twice.
    """

    def __init__(
        self,
        text_model: nn.Module,
        tokenizer,
        num_ctx: int | None = 3,
        ctx_init: str | None = "a photo of",
        generator: torch.Generator | None = None,
    ) -> None:
        """Create the context.

        Args:
            text_model: `CLIPTextModelWithProjection` whose token embeddings are copied.
            tokenizer: Its tokenizer.
            num_ctx: Number of context vectors. With `ctx_init` it must equal the number of tokens
                of these words, or be None to take that number.
            ctx_init: Words whose token embeddings are the start; None or "" starts from
                N(0, std of the token embeddings).
            generator: Source of the random start; needed only without `ctx_init`.

        Raises:
            ValueError: If `num_ctx` and `ctx_init` do not fit, or what a start needs is missing.
        """
        super().__init__()
        table = text_model.get_input_embeddings().weight.detach()
        if ctx_init:
            ids = tokenizer(ctx_init, add_special_tokens=False)["input_ids"]
            if num_ctx is not None and num_ctx != len(ids):
                raise ValueError(
                    f"PromptLearner: ctx_init {ctx_init!r} has {len(ids)} tokens but num_ctx is "
                    f"{num_ctx}; make them equal, set num_ctx=None to follow the words, or "
                    "ctx_init=None for a random start."
                )
            ctx = table[torch.tensor(ids, device=table.device)].float().clone()
            words = ctx_init.strip()
        else:
            if not num_ctx or num_ctx < 1 or generator is None:
                raise ValueError(
                    f"PromptLearner: without ctx_init a random start needs num_ctx >= 1 (got "
                    f"{num_ctx}) and a generator (got {generator})."
                )
            ctx = torch.randn(num_ctx, table.shape[1], generator=generator, device=generator.device)
            ctx = ctx.to(table.device) * table.float().std()
            words = " ".join(["x"] * num_ctx)  # placeholders, one token each in every CLIP BPE
        self.ctx = nn.Parameter(ctx)
        self.template = words + " {}"

    @property
    def num_ctx(self) -> int:
        """Number of context vectors."""
        return self.ctx.shape[0]

    def forward(self, input_ids: Tensor, text_model: nn.Module) -> Tensor:
        """Build token embeddings whose positions 1..num_ctx (after begin-of-text) are `ctx`.

        Args:
            input_ids: [L, T] ids of `self.template` filled with the labels.
            text_model: The text model the context was made for.

        Returns:
            [L, T, H] input embeddings for `encode_tokens`.

        Raises:
            ValueError: If a row is too short to hold the context and a name.
        """
        count = self.num_ctx
        if input_ids.shape[1] < count + 3:
            raise ValueError(
                f"PromptLearner: rows of {input_ids.shape[1]} tokens cannot hold {count} context "
                f"tokens, a name, begin and end; tokenise with template {self.template!r}."
            )
        embeds = text_model.get_input_embeddings()(input_ids)
        ctx = self.ctx.to(embeds.dtype).expand(input_ids.shape[0], -1, -1)
        return torch.cat([embeds[:, :1], ctx, embeds[:, 1 + count :]], dim=1)
