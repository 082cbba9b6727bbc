"""Checkpoints of every kind small enough to be made in a test: the real formats with a few hundred weights.

`ruined=True` writes not-a-number into the weights: a checkpoint that loads and must not be believed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import transformers
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing

from pipelines.cards import Card, CardFields, Kind, Label, LocalSource, Session

LABELS = ("benign", "risky")


def card_of(
    kind: Kind,
    sessions: tuple[Session, ...],
    *,
    folder: Path = Path("nowhere"),
    labels: dict[str, Label] | None = None,
    options: dict[str, str | int | float | bool] | None = None,
    artefacts: tuple[str, ...] = (),
) -> Card:
    """A card as `read_card` would give it, without its text."""
    fields = CardFields(
        card_version=1,
        slots=("vision.tiny",),
        kind=kind,
        sessions=sessions,
        sources=(LocalSource(local="."),),
        labels=labels or ({} if kind in ("whisper", "screen-text") else {"risky": Label(policies=("scam",))}),
        options=options or {},
        artefacts=artefacts,
    )
    return Card(id="tiny", folder=folder, licence="mit", languages=(), fields=fields, metadata={}, body="")


def save(model: Any, folder: Path, *, ruined: bool) -> None:
    """The model with random but repeatable weights."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.full_like(parameter, float("nan")) if ruined else torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder)


def write_preprocessing(folder: Path, side: int = 32) -> None:
    config = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": side, "width": side},
        "do_rescale": True,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(config))


def resnet(folder: Path, *, ruined: bool = False) -> None:
    names = dict(enumerate(LABELS))
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", id2label=names
    )
    save(transformers.ResNetForImageClassification(config), folder, ruined=ruined)
    write_preprocessing(folder)


def vit(folder: Path, *, ruined: bool = False) -> None:
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=16,
        id2label=dict(enumerate(LABELS)),
        problem_type="multi_label_classification",
    )
    save(transformers.ViTForImageClassification(config), folder, ruined=ruined)
    write_preprocessing(folder)


def image_graph(folder: Path, *, ruined: bool = False) -> None:
    """An ONNX classifier beside the config that names its labels: mean colour, then one matrix."""
    resnet(folder)
    weight = np.full((2, 3), np.nan, np.float32) if ruined else np.array([[1, 2, 3], [-1, 0, 1]], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["pixels"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weight"], ["logits"], transB=1),
        ],
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, folder / "model.onnx")


def screen_reader(folder: Path, *, ruined: bool = False) -> None:
    """PaddleOCR's two graphs: whatever is bright is text, and all of it reads as 字."""
    heat = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["pixels"], ["grey"], axes=[1]),
            helper.make_node("Mul", ["grey", "factor"], ["scaled"]),
            helper.make_node("Clip", ["scaled", "zero", "one"], ["heat"]),
        ],
        "detector",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("heat", TensorProto.FLOAT, ["batch", 1, "height", "width"])],
        [
            numpy_helper.from_array(np.array(np.nan if ruined else 1, np.float32), "factor"),
            numpy_helper.from_array(np.array(0, np.float32), "zero"),
            numpy_helper.from_array(np.array(1, np.float32), "one"),
        ],
    )
    letters = helper.make_graph(
        [
            helper.make_node("ReduceMax", ["pixels"], ["column"], axes=[1, 2], keepdims=0),
            helper.make_node("Unsqueeze", ["column", "last"], ["columns"]),
            helper.make_node("MatMul", ["columns", "weight"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["letters"]),
        ],
        "recogniser",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, 48, "width"])],
        [helper.make_tensor_value_info("letters", TensorProto.FLOAT, ["batch", "width", 3])],
        [
            numpy_helper.from_array(np.array([2], np.int64), "last"),
            numpy_helper.from_array(np.array([[0, 9, 0]], np.float32), "weight"),  # blank, 字, space
        ],
    )
    for name, graph in (("det.onnx", heat), ("rec.onnx", letters)):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
        model.metadata_props.add(key="character", value="字")
        onnx.save(model, folder / name)


def clip(folder: Path, *, ruined: bool = False) -> None:
    text = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"intermediate_size": 16, "max_position_embeddings": 16, "eos_token_id": 2}
    config = transformers.CLIPConfig(text_config=text, vision_config=_TINY_SIGHT, projection_dim=8)
    save(transformers.CLIPModel(config), folder, ruined=ruined)
    write_preprocessing(folder)
    write_words(folder)


def siglip(folder: Path, *, ruined: bool = False) -> None:
    text = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"intermediate_size": 16, "max_position_embeddings": 16, "projection_size": 16}
    config = transformers.SiglipConfig(text_config=text, vision_config=_TINY_SIGHT)
    save(transformers.SiglipModel(config), folder, ruined=ruined)
    write_preprocessing(folder)
    write_words(folder)


_TINY_SIGHT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 32,
    "patch_size": 16,
}

WORDS = ("hello", "query:", "send", "money", "first", "a", "photo", "of", "dice", "nothing", "你好", "warm-up")


def write_words(folder: Path, extra: Sequence[str] = (), template: str | None = None) -> Tokenizer:
    """A tokenizer of whole words with XLM-R's special tokens: <s> 0, <pad> 1, </s> 2, <unk> 3."""
    vocabulary = {
        word: index for index, word in enumerate(dict.fromkeys(("<s>", "<pad>", "</s>", "<unk>", *WORDS, *extra)))
    }
    words = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=64,
        chat_template=template,
    )
    wrapped.save_pretrained(folder)
    return words


def text_classifier(folder: Path, *, ruined: bool = False) -> None:
    config = transformers.XLMRobertaConfig(
        vocab_size=64,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=80,
        pad_token_id=1,
        id2label=dict(enumerate(LABELS)),
    )
    save(transformers.XLMRobertaForSequenceClassification(config), folder, ruined=ruined)
    write_words(folder)


def embedding_head(folder: Path, *, ruined: bool = False) -> None:
    """The encoder, and the head that a card's own folder holds: here both lie in one."""
    from pipelines.text.embedding_head import HEAD_FILE, Head, write_head

    config = transformers.BertConfig(
        vocab_size=64,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=160,
        pad_token_id=1,
    )
    save(transformers.BertModel(config, add_pooling_layer=False), folder, ruined=ruined)
    write_words(folder)
    weight = np.linspace(-1, 1, 16, dtype=np.float32)[None]
    write_head(Head(("risky",), weight, np.zeros(1, np.float32)), folder / HEAD_FILE)


GUARD_CATEGORIES = ("Violent", "PII")
GUARD_TEMPLATE = "{% for message in messages %}{{ message.content }} <ask>{% endfor %}"


def guard(
    folder: Path, answer: Sequence[str] = ("Safety: Unsafe\n", "Categories: Violent"), ruined: bool = False
) -> None:
    """A causal model that gives the same answer to every question: each token is followed by a fixed next one.

    The residual stream carries the token alone (attention and MLP add nothing), and the output matrix maps
    a token to its successor.
    """
    words = write_words(folder, extra=("<ask>", *answer), template=GUARD_TEMPLATE)
    size = words.get_vocab_size()
    config = transformers.LlamaConfig(
        vocab_size=size,
        hidden_size=size + size % 2,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=128,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
        tie_word_embeddings=False,
    )
    model = transformers.LlamaForCausalLM(config)
    chain = [words.token_to_id(token) for token in ("<ask>", *answer, "</s>")]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.model.norm.weight.fill_(float("nan") if ruined else 1.0)
        model.model.embed_tokens.weight.copy_(torch.eye(size, config.hidden_size))
        for token, successor in pairwise(chain):
            model.lm_head.weight[successor, token] = 1.0
    model.save_pretrained(folder)
