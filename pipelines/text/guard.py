"""Lines to native labels with a generative guard: Qwen3Guard-Gen and checkpoints that answer like it.

The checkpoint's own chat template asks the question; the answer is two lines, as its documentation gives them:

    Safety: Unsafe
    Categories: Violent, Unethical Acts

Scores are steps, not probabilities (the card's calibration makes them so): a named category gets 1 when
unsafe, 0.5 when controversial, and all others 0. Any other answer is a failure, never "safe".
Card options: `max_tokens` of a line with its template (default 4096), `batch` (default 8).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from pipelines.cards import Card
from pipelines.items import Failure, Item, Line, Result, Scores
from pipelines.scoring import only, rehearse
from pipelines.sessions.pytorch import load_module
from pipelines.text.tokens import length_buckets, neutralised, reserved_strings

MAX_ANSWER_TOKENS = 64

_ANSWER = re.compile(r"\A\s*Safety:\s*(?P<safety>Safe|Controversial|Unsafe)\s*\n\s*Categories:(?P<categories>[^\n]*)")
_STEPS = {"Safe": 0.0, "Controversial": 0.5, "Unsafe": 1.0}


def parse_answer(answer: str, labels: Sequence[str]) -> Scores | Failure:
    """The scores of one answer. A category that the card does not list makes the answer unusable."""
    match = _ANSWER.match(answer)
    if match is None:
        return Failure(error="UnreadableAnswer")
    named = {part.strip() for part in match["categories"].split(",")} - {"", "None"}
    step = _STEPS[match["safety"]]
    if bool(named) != bool(step):
        return Failure(error="ContradictoryAnswer")
    if not named <= set(labels):
        return Failure(error="UnknownCategory")
    return Scores(labels={label: step if label in named else 0.0 for label in labels})


@dataclass(frozen=True)
class Guard:
    """Greedy decoding, so that the same line always gets the same answer."""

    labels: tuple[str, ...]
    module: Any
    tokenizer: Any
    reserved: tuple[str, ...]
    max_tokens: int
    batch: int

    def warm_up(self) -> None:
        rehearse(self.predict, (Line("warm-up"), Line("warm-up " * 8)))

    def predict(self, items: Sequence[Item]) -> Sequence[Result]:
        prompts = [self._tokens(line) for line in only(Line, items)]
        results: list[Result] = [Failure(error="LineTooLong")] * len(prompts)
        fitting = [index for index, prompt in enumerate(prompts) if len(prompt) <= self.max_tokens]
        for bucket in length_buckets([len(prompts[index]) for index in fitting], self.batch):
            chosen = [fitting[place] for place in bucket]
            answers = self._answers([prompts[index] for index in chosen])
            for index, answer in zip(chosen, answers, strict=True):
                results[index] = parse_answer(answer, self.labels)
        return results

    def _tokens(self, line: Line) -> list[int]:
        message = {"role": "user", "content": neutralised(line.text, self.reserved)}
        prompt = self.tokenizer.apply_chat_template([message], tokenize=False)
        return list(self.tokenizer(prompt, add_special_tokens=False)["input_ids"])

    def _answers(self, prompts: list[list[int]]) -> list[str]:
        padded = self.tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
        ids = padded["input_ids"].to(self.module.device)
        with torch.inference_mode():
            written = self.module.generate(ids, attention_mask=padded["attention_mask"].to(self.module.device))
        return [str(text) for text in self.tokenizer.batch_decode(written[:, ids.shape[1] :], skip_special_tokens=True)]


def load_guard(card: Card, folder: Path, *, device: str, threads: int) -> Guard:
    """The guard of `folder`, with its own chat template."""
    module = load_module(AutoModelForCausalLM, folder, device=device, threads=threads)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    ends = module.generation_config.eos_token_id or tokenizer.eos_token_id
    module.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=MAX_ANSWER_TOKENS,
        eos_token_id=ends,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Guard(
        labels=tuple(card.fields.labels),
        module=module,
        tokenizer=tokenizer,
        reserved=reserved_strings(tokenizer),
        max_tokens=int(card.fields.options.get("max_tokens", 4096)),
        batch=int(card.fields.options.get("batch", 8)),
    )
