"""What makes a checkpoint usable: a complete card, only harmless kinds of files, every sha256 as pinned."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.cards import Card, Kind, Session
from pipelines.checkpoints.folder import CheckpointError, entries, relative, sha256_of
from pipelines.checkpoints.lock import Lock, Locked
from pipelines.policies import POLICY_IDS
from pipelines.sessions.adapter import ADAPTER_FILES, CONFIG_FILE
from pipelines.strict import Sha256

SESSIONS: dict[Kind, tuple[Session, ...]] = {
    "image-classification": ("torch", "onnx", "onnx-int8"),
    "zero-shot-image-classification": ("torch", "onnx", "onnx-int8"),
    "whisper": ("ctranslate2", "torch"),
    "screen-text": ("onnx",),
    "text-classification": ("torch", "onnx", "onnx-int8"),
    "embedding-head": ("torch", "onnx", "onnx-int8"),
    "guard": ("torch",),
}
MODALITIES: dict[Kind, str] = {
    "image-classification": "vision",
    "zero-shot-image-classification": "vision",
    "whisper": "speech",
    "screen-text": "ocr",
    "text-classification": "text",
    "embedding-head": "text",
    "guard": "text",
}
"""The first word of the slots that a kind can fill."""
ADAPTABLE: tuple[Kind, ...] = (
    "image-classification",
    "zero-shot-image-classification",
    "text-classification",
    "embedding-head",
)
"""Kinds that take a LoRA adapter from beside the card."""
SECTIONS = (
    "Summary",
    "Intended use",
    "Out-of-scope use",
    "Labels and thresholds",
    "Data",
    "Evaluation",
    "Limitations and known evasions",
    "Latency and memory",
    "Provenance and licence",
)
"""What a card must tell whoever lets its checkpoint judge streams, in this order."""
SUFFIXES = (".safetensors", ".onnx", ".json", ".txt", ".jinja")
NAMES = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "LICENSE", "NOTICE")
CTRANSLATE2_WEIGHTS = "model.bin"
HEAD = "head.safetensors"
"""The artefact of an embedding head: a linear layer over the encoder's embedding."""

PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""How zip archives of pickles and bare pickles begin; ONNX, CTranslate2, JSON and text never do."""

NEEDS: dict[Session, tuple[str, ...]] = {
    "torch": ("config.json", "*.safetensors"),
    "onnx": ("*.onnx",),
    "onnx-int8": ("*.int8.onnx",),
    "ctranslate2": (CTRANSLATE2_WEIGHTS, "config.json"),
}


@dataclass(frozen=True)
class Finding:
    """One reason not to use a checkpoint: what it is about (a file, a field of the card) and what is wrong."""

    subject: str
    problem: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.problem}"


@dataclass(frozen=True)
class Inspection:
    """A folder looked at: what is wrong with it, and the sha256 of every file it holds."""

    findings: tuple[Finding, ...]
    sums: Mapping[str, Sha256]


def verify(card: Card, folder: Path, lock: Lock) -> list[Finding]:
    """Everything wrong with the card, its artefacts and the folder; empty when the checkpoint may be used."""
    return [*card_findings(card), *inspect(card, folder, lock.entry(card.id)).findings]


def card_findings(card: Card) -> list[Finding]:
    """What the card alone gets wrong, its artefacts included."""
    return [*_licence(card), *_labels(card), *_sessions(card), *_artefacts(card), *_adapter(card), *_head(card)]


def slot_findings(card: Card, slot: str) -> list[Finding]:
    """Why the checkpoint must not be put into this slot, whatever its files: to be asked before a swap."""
    findings = card_findings(card)
    if slot not in card.fields.slots:
        findings.append(Finding("slots", f"the card is for {', '.join(card.fields.slots)}, not for {slot}"))
    if slot.partition(".")[0] != MODALITIES[card.fields.kind]:
        findings.append(Finding("kind", f"{card.fields.kind} cannot fill {slot}"))
    if card.fields.labels and not any(label.policies for label in card.fields.labels.values()):
        findings.append(Finding("labels", "none of them speaks for a policy"))
    told = re.findall(r"^## (.+?)\s*$", card.body, re.MULTILINE)
    absent = [section for section in SECTIONS if section not in told]
    if absent:
        findings.append(Finding("README.md", f"lacks the section {absent[0]!r}" + _more(absent)))
    return findings


def unspoken(cards: Iterable[Card]) -> tuple[str, ...]:
    """The policies that no label of these cards speaks for: nothing that only these models see can raise them."""
    spoken = {policy for card in cards for label in card.fields.labels.values() for policy in label.policies}
    return tuple(policy for policy in POLICY_IDS if policy not in spoken)


def inspect(card: Card, folder: Path, locked: Locked | None) -> Inspection:
    """Hashes the folder and compares it with the card's pins, or else with the lock's."""
    findings: list[Finding] = []
    sums: dict[str, Sha256] = {}
    for name, path in entries(folder).items():
        problem = unsafe(path, card.fields.kind)
        if problem:
            findings.append(Finding(name, problem))
        else:
            sums[name] = sha256_of(path)
    pinned = pins(card, locked)
    if pinned:
        findings += _differences(pinned, sums)
    findings += _weights(card, sums)
    if CONFIG_FILE in sums:  # transformers would put it on top by itself, and fetch the base that it names
        findings.append(Finding(CONFIG_FILE, "an adapter lies beside the card, among its artefacts, not with the base"))
    if not findings:
        findings += _declared_labels(card, folder)
    return Inspection(tuple(findings), sums)


def pins(card: Card, locked: Locked | None) -> Mapping[str, Sha256]:
    """The sha256 that every file must have: the card's, else the lock's; empty when nobody pinned them yet."""
    return card.fields.files or (locked.files if locked else {})


def unsafe(path: Path, kind: Kind) -> str | None:
    """Why this file must not be in a checkpoint, or None. Only data formats that cannot carry code may."""
    if path.is_symlink():
        return "is a symbolic link; checkpoints hold plain files only"
    if not path.is_file():
        return "is not a plain file"
    base = path.name
    weights = base == CTRANSLATE2_WEIGHTS and kind == "whisper"
    if not (weights or base in NAMES or path.suffix in SUFFIXES):
        return "is not an allowed kind of file (safetensors, ONNX, CTranslate2, JSON, text)"
    with path.open("rb") as file:
        start = file.read(9)
    if path.suffix == ".safetensors":
        # Eight bytes of length and then a JSON object: the length may look like a pickle's first bytes.
        return None if start[8:] == b"{" else "is not a safetensors file"
    return "is a pickle under another name" if start.startswith(PICKLES) else None


def _licence(card: Card) -> Iterator[Finding]:
    if not card.licence:
        yield Finding("license", "is missing; say under which terms the weights may be used")


def _labels(card: Card) -> Iterator[Finding]:
    for name, label in card.fields.labels.items():
        unknown = sorted(set(label.policies) - set(POLICY_IDS))
        if unknown:
            yield Finding(f"labels.{name}", f"no such policy: {', '.join(unknown)}")
        if card.fields.kind == "zero-shot-image-classification" and not label.prompts:
            yield Finding(f"labels.{name}", "a zero-shot label needs prompts")


def _sessions(card: Card) -> Iterator[Finding]:
    for session in card.fields.sessions:
        if session not in SESSIONS[card.fields.kind]:
            yield Finding("sessions", f"{session} cannot run the kind {card.fields.kind}")


def _artefacts(card: Card) -> Iterator[Finding]:
    for name in card.fields.artefacts:
        try:
            path = card.folder / relative(name)
        except CheckpointError as error:
            yield Finding("artefacts", str(error))
            continue
        if not path.exists():
            yield Finding(name, f"the artefact is missing beside the card in {card.folder}")
            continue
        problem = unsafe(path, card.fields.kind)
        if problem:
            yield Finding(name, problem)


def _adapter(card: Card) -> Iterator[Finding]:
    """Both files or none, for a kind and a session that takes them: elsewhere the bare base would score unnoticed."""
    named = [name for name in ADAPTER_FILES if name in card.fields.artefacts]
    if not named:
        return
    if len(named) < len(ADAPTER_FILES):
        yield Finding("artefacts", f"name {named[0]} alone; an adapter is {' and '.join(ADAPTER_FILES)}")
    if card.fields.kind not in ADAPTABLE:
        yield Finding("artefacts", f"the kind {card.fields.kind} takes no adapter")
    elif card.fields.sessions != ("torch",):
        yield Finding("sessions", "an adapter runs on torch alone")


def _head(card: Card) -> Iterator[Finding]:
    """An embedding head names its outputs itself; they must be the labels that the card explains."""
    path = card.folder / HEAD
    if card.fields.kind != "embedding-head" or HEAD not in card.fields.artefacts or not path.is_file():
        return
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        named = json.loads(header["__metadata__"]["labels"])
    except (ValueError, KeyError, TypeError, MemoryError, OverflowError, RecursionError):
        yield Finding(HEAD, "is not a safetensors file that names its labels")
        return
    for name in sorted(set(card.fields.labels) ^ set(named)):
        yield Finding(f"labels.{name}", f"is only in {'the card' if name in card.fields.labels else HEAD}")


def _differences(pinned: Mapping[str, Sha256], sums: Mapping[str, Sha256]) -> Iterator[Finding]:
    for name, digest in pinned.items():
        if name not in sums:
            yield Finding(name, "is missing")
        elif sums[name] != digest:
            yield Finding(name, f"has sha256 {sums[name][:12]}…, pinned is {digest[:12]}…")
    for name in sums.keys() - pinned.keys():
        yield Finding(name, "is not among the pinned files")


def _weights(card: Card, sums: Mapping[str, Sha256]) -> Iterator[Finding]:
    for session in card.fields.sessions:
        for pattern in NEEDS[session]:
            if not any(Path(name).match(pattern) for name in sums):
                yield Finding(pattern, f"is missing, and {session} needs it")


def _declared_labels(card: Card, folder: Path) -> Iterator[Finding]:
    """A classifier's own label names must be those that the card explains: an unexplained one would be lost."""
    config = folder / "config.json"
    if card.fields.kind not in ("image-classification", "text-classification") or card.rows:
        return
    try:
        declared = set(json.loads(config.read_bytes())["id2label"].values())
    except (OSError, KeyError):
        yield Finding("config.json", "names no labels (id2label); give each label of the card its `row`")
        return
    except (ValueError, AttributeError, TypeError, RecursionError):
        yield Finding("config.json", "is not a usable JSON object")
        return
    for name in sorted(set(card.fields.labels) - declared):
        yield Finding(f"labels.{name}", "the checkpoint has no such label")
    for name in sorted(declared - set(card.fields.labels)):
        yield Finding(f"labels.{name}", "the checkpoint has this label and the card does not explain it")


def _more(absent: list[str]) -> str:
    return f" and {len(absent) - 1} more" if len(absent) > 1 else ""
