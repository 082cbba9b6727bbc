"""Where text training and the embedding head find adapters; see `pipelines.sessions.adapter`."""

from pipelines.sessions.adapter import ADAPTER_FILES as ADAPTER_FILES
from pipelines.sessions.adapter import CONFIG_FILE as CONFIG_FILE
from pipelines.sessions.adapter import WEIGHTS_FILE as WEIGHTS_FILE
from pipelines.sessions.adapter import adapter_of as adapter_of
from pipelines.sessions.adapter import merged as merged
from pipelines.sessions.adapter import peft_said as peft_said
