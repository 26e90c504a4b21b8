"""What a graph's options are explained for: an OVMS version, and a model and a host where they are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ovms_edge.graph.fixes.plugin_config import object_of
from ovms_edge.graph.model import ModelFacts
from ovms_edge.ovms.fields import fields_for
from ovms_edge.ovms.kv_cache import default_kv_precision, kv_bytes_of_token, kv_precision_in
from ovms_edge.ovms.memory import GIB, HostMemory, ModelMemory

_OMNI = "OMNI"


@dataclass(frozen=True)
class Setting:
    """What the options are explained for. ``values`` are the effective ones; unknown things are None."""

    ovms_version: str
    values: Mapping[str, Any]
    model: ModelFacts | None = None
    host: HostMemory | None = None

    @property
    def memory(self) -> ModelMemory | None:
        """What the model takes, None where that is not known."""
        return self.model.memory if self.model else None

    @property
    def properties(self) -> dict[str, Any]:
        """The properties of plugin_config."""
        return object_of(str(self.values.get("plugin_config") or "")) or {}

    @property
    def device(self) -> str:
        """The device, GPU where OVMS chooses: what an Intel host with a GPU gets."""
        return str(self.values.get("device") or "GPU")

    @property
    def kv_precision(self) -> str:
        """What the KV cache is kept in."""
        discrete = self.host is not None and self.host.gpu_bytes is not None and self.device != "CPU"
        return kv_precision_in(self.properties) or default_kv_precision(
            self.ovms_version, discrete_gpu=discrete
        )

    @property
    def token_bytes(self) -> int:
        """Bytes of one token in the KV cache, 0 if the model does not say."""
        return kv_bytes_of_token(self.memory.kv_bytes_per_token, self.kv_precision) if self.memory else 0

    @property
    def pool_tokens(self) -> int:
        """Tokens that the KV cache holds, 0 if that is not known or grows."""
        return int(self.values["cache_size"]) * GIB // self.token_bytes if self.token_bytes else 0

    @property
    def pipeline(self) -> str | None:
        """The pipeline that OVMS builds; None where that depends on a model that is not given."""
        wanted = str(self.values.get("pipeline_type", "LM_CB"))
        if wanted != "AUTO":
            return wanted
        if self.model is None:
            return None
        if self.model.omni and _OMNI in fields_for(self.ovms_version)["pipeline_type"].choices:
            return _OMNI
        kind = self.model.kind
        return kind if self.device == "NPU" else f"{kind}_CB"
