"""Whisper checkpoints small enough to be made in a test, and a voice for them to hear."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import transformers
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from tests.tiny_checkpoints import save

SPEECH_LANGUAGES = ("en", "zh", "de")


def whisper(folder: Path, *, ruined: bool = False) -> None:
    """A Whisper that hears nothing sensible: one layer, bytes as vocabulary."""
    tokenizer = _speech_tokenizer()
    number = tokenizer.token_to_id
    config = transformers.WhisperConfig(
        vocab_size=tokenizer.get_vocab_size(),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_target_positions=448,
        decoder_start_token_id=number("<|startoftranscript|>"),
        eos_token_id=number("<|endoftext|>"),
        bos_token_id=number("<|endoftext|>"),
        pad_token_id=number("<|endoftext|>"),
    )
    model = transformers.WhisperForConditionalGeneration(config)
    model.generation_config = transformers.GenerationConfig(
        decoder_start_token_id=config.decoder_start_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        max_length=24,
        is_multilingual=True,
        lang_to_id={f"<|{name}|>": number(f"<|{name}|>") for name in SPEECH_LANGUAGES},
        task_to_id={name: number(f"<|{name}|>") for name in ("transcribe", "translate")},
        no_timestamps_token_id=number("<|notimestamps|>"),
        suppress_tokens=[
            number(token) for token in tokenizer.get_vocab() if token.startswith("<|") and token != "<|endoftext|>"
        ],
        begin_suppress_tokens=[],
    )
    save(model, folder, ruined=ruined)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"tokenizer_class": "WhisperTokenizer", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    transformers.WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)


def converted_whisper(folder: Path, *, ruined: bool = False) -> None:
    """The same in CTranslate2's format."""
    from ctranslate2.converters import TransformersConverter

    source = folder / "source"
    source.mkdir(parents=True)
    whisper(source, ruined=ruined)
    converter = TransformersConverter(str(source), copy_files=["tokenizer.json"])
    converter.convert(str(folder / "converted"))
    for path in (folder / "converted").iterdir():
        path.rename(folder / path.name)


def _speech_tokenizer() -> Tokenizer:
    # CTranslate2 knows a multilingual Whisper by the empty token in its vocabulary.
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), ""]
    tokenizer = Tokenizer(BPE({token: index for index, token in enumerate(tokens)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    controls = ["endoftext", "startoftranscript", *SPEECH_LANGUAGES, "translate", "transcribe"]
    controls += ["startoflm", "startofprev", "nospeech", "notimestamps"]
    controls += [f"{step * 0.02:.2f}" for step in range(1501)]
    tokenizer.add_special_tokens([f"<|{name}|>" for name in controls])
    return tokenizer


def voice(duration_s: float) -> NDArray[np.float32]:
    """Vowels sung by a formula, 16 kHz: no words, but enough of a voice for the gate before every speech model."""
    time = np.arange(round(duration_s * 16_000)) / 16_000
    pitch = 120 + 15 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / 16_000
    formants = np.array([(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410)])
    vowel = formants[(time / 0.22).astype(int) % len(formants)]
    sound = np.zeros_like(time)
    for harmonic in range(1, 30):
        nearness = np.exp(-0.5 * ((harmonic * pitch[:, None] - vowel) / (80 + 0.05 * vowel)) ** 2)
        sound += (nearness @ np.array([1, 0.6, 0.3]) + 0.02) * np.sin(harmonic * phase) / harmonic**0.3
    sound *= 0.15 + 0.85 * np.abs(np.sin(np.pi * time / 0.22)) ** 0.7
    return np.asarray(0.3 * sound / np.abs(sound).max(), dtype=np.float32)
