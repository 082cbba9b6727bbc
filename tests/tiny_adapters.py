"""LoRA adapters and graphs for the tiny checkpoints, as an ML engineer would have them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import transformers
from onnx import TensorProto, helper, numpy_helper
from peft import LoraConfig, get_peft_model

from pipelines.sessions.adapter import ADAPTER_FILES, peft_said
from tests import tiny_checkpoints as tiny


def encoder_without_head(folder: Path, *, words: int = 64) -> None:
    """A bare XLM-R as language models are published: no classifier, no names for its labels."""
    config = transformers.XLMRobertaConfig(
        vocab_size=words,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=80,
        pad_token_id=1,
    )
    tiny.save(transformers.XLMRobertaModel(config, add_pooling_layer=False), folder, ruined=False)
    tiny.write_words(folder)


def text_adapter(base: Path, into: Path, *, seed: int = 0, labels: int = 2, ruined: bool = False) -> None:
    """Two files for `into`: LoRA on queries and values of the encoder in `base`, and a classifier of its own."""
    module = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=labels)
    config = LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"])
    write_adapter(module, config, into, seed=seed, ruined=ruined)


def picture_adapter(base: Path, into: Path, *, seed: int = 0, ruined: bool = False) -> None:
    """Two files for `into`: LoRA on the attention of the ViT in `base`; its classifier stays."""
    module = transformers.ViTForImageClassification.from_pretrained(base)
    write_adapter(module, LoraConfig(r=2, target_modules=_attention(module)), into, seed=seed, ruined=ruined)


def adapted_text_classifier(folder: Path, *, ruined: bool = False) -> None:
    """Base and adapter in one folder, which stands for the checkpoint's and the card's."""
    encoder_without_head(folder)
    text_adapter(folder, folder, ruined=ruined)


def adapted_vit(folder: Path, *, ruined: bool = False) -> None:
    tiny.vit(folder)
    picture_adapter(folder, folder, ruined=ruined)


def _attention(module: Any) -> Sequence[str]:
    """The last word of each linear layer's name inside an attention block."""
    linear = [name for name, part in module.named_modules() if isinstance(part, torch.nn.Linear)]
    return sorted({name.rpartition(".")[2] for name in linear if "attention" in name})


def write_adapter(module: Any, config: LoraConfig, into: Path, *, seed: int, ruined: bool = False) -> None:
    """PEFT writes a README.md as well, which would overwrite the card."""
    with peft_said():
        adapted = get_peft_model(module, config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(torch.full_like(noise, float("nan")) if ruined else noise)
    adapted.save_pretrained(into / "peft", save_embedding_layers=False)
    for name in ADAPTER_FILES:
        shutil.move(into / "peft" / name, into / name)
    shutil.rmtree(into / "peft")


def clip_graphs(folder: Path, *, ruined: bool = False) -> None:
    """The two graphs of a zero-shot checkpoint: the mean colour, and the mean of the words' rows of one table."""
    tiny.clip(folder)
    numbers = np.random.default_rng(0)
    colours = numbers.normal(size=(8, 3)).astype(np.float32)
    sight = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["pixel_values"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["flat"]),
            helper.make_node("Gemm", ["flat", "colours"], ["image_embeds"], transB=1),
        ],
        "sight",
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("image_embeds", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(np.full_like(colours, np.nan) if ruined else colours, "colours")],
    )
    text = helper.make_graph(
        [
            helper.make_node("Gather", ["rows", "input_ids"], ["words"]),
            helper.make_node("ReduceMean", ["words"], ["text_embeds"], axes=[1], keepdims=0),
        ],
        "text",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])],
        [helper.make_tensor_value_info("text_embeds", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(numbers.normal(size=(64, 8)).astype(np.float32), "rows")],
    )
    (folder / "onnx").mkdir()
    for name, graph in (("vision_model.onnx", sight), ("text_model.onnx", text)):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
        onnx.save(model, folder / "onnx" / name)


def text_graph(folder: Path, *, ruined: bool = False) -> None:
    """An ONNX classifier beside the config that names its labels: the mean of the words' rows of one table."""
    tiny.text_classifier(folder)
    rows = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["rows", "input_ids"], ["words"]),
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
            helper.make_node("Mul", ["words", "column"], ["kept"]),
            helper.make_node("ReduceSum", ["kept", "tokens"], ["sum"], keepdims=0),
            helper.make_node("ReduceSum", ["column", "tokens"], ["count"], keepdims=0),
            helper.make_node("Div", ["sum", "count"], ["logits"]),
        ],
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in _INPUTS],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [
            numpy_helper.from_array(np.full_like(rows, np.nan) if ruined else rows, "rows"),
            numpy_helper.from_array(np.array([2], np.int64), "last"),
            numpy_helper.from_array(np.array([1], np.int64), "tokens"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, folder / "model.onnx")


def encoder_graph(folder: Path, *, ruined: bool = False) -> None:
    """An ONNX encoder beside `tiny.embedding_head`'s words and head: of each word its row of one table."""
    tiny.embedding_head(folder)
    rows = np.random.default_rng(0).normal(size=(64, 16)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["rows", "input_ids"], ["words"]),
            helper.make_node("Unsqueeze", ["attention_mask", "last"], ["column"]),
            helper.make_node("Cast", ["column"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["words", "mask"], ["last_hidden_state"]),
        ],
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in _INPUTS],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "tokens", 16])],
        [
            numpy_helper.from_array(np.full_like(rows, np.nan) if ruined else rows, "rows"),
            numpy_helper.from_array(np.array([2], np.int64), "last"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, folder / "model.onnx")


_INPUTS = ("input_ids", "attention_mask")
