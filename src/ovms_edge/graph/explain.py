"""``ovms-edge graph explain``: what a graph says, and what OVMS makes of what it does not say."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.graph.explaining import properties as known_properties
from ovms_edge.graph.explaining.meaning import meaning_of
from ovms_edge.graph.explaining.setting import Setting
from ovms_edge.graph.explaining.values import Effective, effective_options
from ovms_edge.graph.model import ModelFacts
from ovms_edge.ovms.kv_cache import zero_cache_size
from ovms_edge.ovms.memory import HostMemory, MemoryPlan, plan_memory
from ovms_edge.ovms.memory_text import gib


@dataclass(frozen=True)
class Row:
    """One option or property: its value, where that comes from (``line`` in the graph), what it means."""

    option: str
    value: Any
    source: str
    line: int | None
    meaning: str


@dataclass(frozen=True)
class Explanation:
    """All rows for one OVMS version; ``plan`` is the host's memory, ``refusal`` what speaks against it."""

    ovms_version: str
    pipeline: str | None
    rows: tuple[Row, ...]
    properties: tuple[Row, ...]
    plan: MemoryPlan | None = None
    refusal: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation for JSON."""
        return asdict(self)

    def to_text(self) -> str:
        """Return aligned tables: options, properties, and the sum of memory where a host was given."""
        parts = [_table(self.rows)]
        if self.properties:
            batching = self.pipeline is None or self.pipeline.endswith("_CB")
            reach = f", {known_properties.REACH}" if batching else ""
            parts.append(f"plugin_config{reach}\n{_table(self.properties)}")
        if self.plan:
            parts.append(_sum(self.plan))
        if self.refusal:
            parts.append(f"memory: {self.refusal}\n")
        return "\n".join(parts)


def explain_graph(
    text: str,
    ovms_version: str,
    model: ModelFacts | None = None,
    host: HostMemory | None = None,
) -> Explanation:
    """Explain the graph ``text`` for ``ovms_version``, for a model and a host as far as they are given.

    Raises EdgeError if this OVMS cannot parse the graph.
    """
    options = effective_options(text, ovms_version)
    values = {option.path: option.value for option in options}
    setting = Setting(ovms_version, values, model, host)
    plan, refusal = _plan(setting)
    line = next((option.line for option in options if option.path == "plugin_config"), None)
    return Explanation(
        ovms_version,
        setting.pipeline,
        tuple(_row(option, setting) for option in options),
        tuple(
            Row(key, value, f"line {line}", line, known_properties.meaning_of(key))
            for key, value in setting.properties.items()
        ),
        plan,
        refusal,
    )


def _row(option: Effective, setting: Setting) -> Row:
    source = option.source(setting.ovms_version)
    return Row(option.path, option.value, source, option.line, meaning_of(option.path, setting))


def _plan(setting: Setting) -> tuple[MemoryPlan | None, str | None]:
    if setting.host is None:
        return None, None
    if setting.memory is None:
        return None, "no sum: no model lies beside the graph; name it with --model DIR"
    asked = int(setting.values["cache_size"])
    try:
        plan = plan_memory(
            setting.memory,
            setting.host,
            asked or None,
            ovms_version=setting.ovms_version,
            kv_precision=setting.kv_precision,
            device=setting.device,
        )
    except EdgeError as error:
        return None, f"{error.reason}; {error.remedy}"
    if asked == 0:
        grows = zero_cache_size(setting.ovms_version)
        return plan, f"cache_size is {grows}; the sum is that of cache_size {plan.cache_size_gib}"
    return plan, None


def _table(rows: tuple[Row, ...]) -> str:
    cells = [(row.option, _shown(row.value), row.source, row.meaning) for row in rows]
    widths = [max(len(cell[column]) for cell in cells) for column in range(3)]
    return "".join(
        "  ".join([*(cell[column].ljust(widths[column]) for column in range(3)), cell[3]]).rstrip() + "\n"
        for cell in cells
    )


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else '""'


def _sum(plan: MemoryPlan) -> str:
    width = max(len(line.label) for line in plan.lines)
    lines = [f"{line.label:<{width}}  {gib(line.bytes):>10}  {line.note}\n" for line in plan.lines]
    fits = f"fits: {gib(plan.need_bytes)} of {gib(plan.limit_bytes)} that serving may take of the host"
    return "".join(lines) + f"{fits}, tier {plan.tier}; OVMS {plan.ovms}\n"
