"""One LLM node as OVMS is about to load it: options, version, model and host."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ovms_edge.finding import Finding
from ovms_edge.graph.checks.llm_node import LlmNode, Options
from ovms_edge.graph.checks.report import noted, refused, warned
from ovms_edge.graph.model import ModelFacts
from ovms_edge.graph.text.syntax import Entry
from ovms_edge.ovms.kv_cache import release_of
from ovms_edge.ovms.memory import HostMemory
from ovms_edge.ovms.status import LoadCheck

PIPELINE_TYPE_SINCE = (2025, 1)
OMNI_SINCE = (2026, 3)
LEGACY_PIPELINES = ("LM", "VLM")


@dataclass(frozen=True)
class LlmCase:
    """``model`` is what lies at models_path, None where that is not known, as is ``host``."""

    llm: LlmNode
    ovms_version: str
    model: ModelFacts | None
    host: HostMemory | None

    @property
    def options(self) -> Options:
        """The options of the node."""
        return self.llm.options

    @cached_property
    def release(self) -> tuple[int, int]:
        """Year and release of OVMS."""
        return release_of(self.ovms_version)

    @cached_property
    def is_vlm(self) -> bool | None:
        """Whether OVMS takes the model for a vision-language one; None if the model is not known."""
        if self.model is None:
            return None
        return self.model.kind == "VLM" and not (self.model.omni and self.release >= OMNI_SINCE)

    @cached_property
    def pipeline(self) -> str:
        """The pipeline that loads it, such as VLM_CB; empty where it depends on a model that is not known."""
        if self.release < PIPELINE_TYPE_SINCE:
            return "LM_CB"
        asked = self.options.text("pipeline_type")
        if asked != "AUTO":
            return asked
        if self.model is None or (self.model.omni and self.release >= OMNI_SINCE):
            return ""
        kind = "VLM" if self.is_vlm else "LM"
        return kind if self.options.text("device") == "NPU" else f"{kind}_CB"

    def refused(
        self, check: LoadCheck, message: str, fix: str, path: str, at: Entry | None = None
    ) -> Finding:
        """Return the finding that the load of this node stops at ``check``."""
        place = at or self._place(path)
        return refused(check, message, fix, place, path=path, node=self.llm.index)

    def warned(self, code: str, message: str, fix: str, path: str, at: Entry | None = None) -> Finding:
        """Return the finding that the node loads, and does not do what was meant."""
        return warned(code, message, fix, at or self._place(path), path=path)

    def noted(self, code: str, message: str, fix: str, path: str, at: Entry | None = None) -> Finding:
        """Return the finding of what has to be known."""
        return noted(code, message, fix, at or self._place(path), path=path)

    def _place(self, path: str) -> Entry:
        return self.options.entries.get(path.partition(".")[0], self.llm.at)
