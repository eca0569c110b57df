"""A language model on this machine, through transformers. Tested with Qwen3's architecture."""

from __future__ import annotations

from typing import Any

from negas.text import shown_text

from .chat import ChatError, Message
from .parse import strip_thinking


class LocalChat:
    """Chat with an instruction-tuned causal language model.

    Qwen3 is the documented choice (``Qwen/Qwen3-4B``; ``Qwen/Qwen3-0.6B`` runs on a laptop but
    repeats itself). Any model with a chat template works.

    Args:
        model: directory or hub name.
        temperature: of the sampling; 0 always takes the likeliest token. Qwen's advice without
            thinking: 0.7, with top_p 0.8.
        top_p: share of probability that sampling draws from.
        max_new_tokens: length of an answer.
        thinking: let models that can (Qwen3) think first; slower, and the thoughts are cut off.
        device: ``cpu``, ``cuda``, ...
        dtype: ``auto`` takes the type of the weights; otherwise a torch type by name.
        progress: show a bar of tokens.

    Raises:
        ValueError: an option out of range, or the model cannot be loaded or has no chat template.
    """

    def __init__(
        self,
        model: str,
        *,
        temperature: float = 0.7,
        top_p: float = 0.8,
        max_new_tokens: int = 2048,
        thinking: bool = False,
        device: str = "cpu",
        dtype: str = "auto",
        progress: bool = True,
    ) -> None:
        if temperature < 0 or not 0 < top_p <= 1 or max_new_tokens < 1:
            raise ValueError(
                f"expected temperature >= 0, 0 < top_p <= 1 and max_new_tokens >= 1, got "
                f"{temperature}, {top_p} and {max_new_tokens}"
            )
        import torch

        from negas.embeddings.hub import without_waiting

        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ValueError(f"device {device!r}: no CUDA device is available; use 'cpu'")
        try:
            network = self._load(without_waiting(model), dtype)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = shown_text(" ".join(str(error).split()), 200)
            raise ValueError(
                f"the language model {model!r} cannot be loaded ({reason}); give a directory with "
                f"safetensors weights and a tokenizer, or a name on the model hub"
            ) from error
        if not self._tokenizer.chat_template:
            raise ValueError(
                f"the language model {model!r} has no chat template; take an instruction-tuned one"
            )
        self._network = network.to(device).eval()
        self._sampling = {"do_sample": temperature > 0, "max_new_tokens": max_new_tokens}
        if temperature > 0:
            self._sampling |= {"temperature": temperature, "top_p": top_p}
        self.thinking, self.progress = thinking, progress
        self.settings: dict[str, Any] = {"model": str(model), "thinking": thinking}
        self.settings |= {"temperature": temperature, "max_new_tokens": max_new_tokens}
        if temperature > 0:
            self.settings["top_p"] = top_p

    def chat(self, messages: list[Message], seed: int) -> str:
        """The answer, sampled with a generator state of its own: the caller's stays untouched.

        Raises:
            ChatError: the conversation does not fit the model's context.
        """
        import torch

        inputs = self._inputs(messages)
        length = inputs["input_ids"].shape[1]
        config = self._network.config  # models that also read images keep it one level down
        room = getattr(getattr(config, "text_config", config), "max_position_embeddings", None)
        if room is not None and length >= room:
            raise ChatError(
                f"the prompt has {length} tokens and the model reads {room}; ask for fewer "
                f"candidates or take a model with a longer context"
            )
        pad = self._tokenizer.pad_token_id
        devices = [self._network.device] if self._network.device.type == "cuda" else []
        bar = _token_bar(self._sampling["max_new_tokens"], length) if self.progress else None
        # generate() takes no generator, so the global one is borrowed and put back
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            torch.manual_seed(seed)
            output = self._network.generate(
                **inputs,
                **self._sampling,
                streamer=bar,
                pad_token_id=self._tokenizer.eos_token_id if pad is None else pad,
            )
        text = self._tokenizer.decode(output[0, length:], skip_special_tokens=True)
        return strip_thinking(text)

    def _load(self, model: str, dtype: str) -> Any:
        """The network; sets the tokenizer. Models of another kind are loaded by subclasses."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from negas.embeddings.hub import load_whole

        self._tokenizer = AutoTokenizer.from_pretrained(model)
        return load_whole(AutoModelForCausalLM, model, torch_dtype=dtype, use_safetensors=True)

    def _inputs(self, messages: list[Message]) -> Any:
        """What the network reads, on its device."""
        # Templates without the switch ignore it (Qwen3 reads it).
        return self._tokenizer.apply_chat_template(
            messages,
            add_generation_prompt=True,
            enable_thinking=self.thinking,
            return_tensors="pt",
            return_dict=True,
        ).to(self._network.device)


def _token_bar(total: int, prompt_length: int):
    """A streamer that draws a bar of generated tokens instead of printing them."""
    from tqdm import tqdm
    from transformers.generation.streamers import BaseStreamer

    class TokenBar(BaseStreamer):
        def __init__(self) -> None:
            self.bar = tqdm(total=total, desc="answer", unit="token", leave=False)
            self.skip = prompt_length

        def put(self, value) -> None:
            new = value.numel() - self.skip
            self.skip = 0  # the prompt comes first, as a whole
            self.bar.update(max(0, new))

        def end(self) -> None:
            self.bar.close()

    return TokenBar()
