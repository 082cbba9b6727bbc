"""A ResNet whose first pooling pads as TensorFlow's SAME does: at the right and the bottom only.

transformers pads both sides and has no switch for it; left as it is, the scores of a converted
checkpoint are off by up to 0.04.
"""

from __future__ import annotations

from torch import nn
from transformers import ResNetConfig, ResNetForImageClassification


class TfSameResNet(ResNetForImageClassification):  # type: ignore[misc]  # transformers is untyped here
    def __init__(self, config: ResNetConfig) -> None:
        super().__init__(config)
        self.resnet.embedder.pooler = nn.MaxPool2d(3, 2, padding=0, ceil_mode=True)
