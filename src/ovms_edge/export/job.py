"""What an export will do, decided before anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.export.adopt import held_weight_format
from ovms_edge.export.architecture import Kind
from ovms_edge.export.arguments import check_model_name
from ovms_edge.export.options import COMPRESSED_BITS, ExportOptions, check_for_kind
from ovms_edge.export.place import Place
from ovms_edge.export.preflight import DiskNeed, conversion_space, peak_memory
from ovms_edge.export.server_config import check_mergeable
from ovms_edge.export.source import Source, SourceModel, examine, find_source
from ovms_edge.ovms.graph import render_graph
from ovms_edge.ovms.memory import GIB, HostMemory, MemoryPlan, ModelMemory, plan_memory
from ovms_edge.ovms.model_memory import decoder_layers, kv_bytes_per_token

_ANY_CACHE_SIZE = 1


@dataclass(frozen=True)
class Part:
    """A model to convert, or to take over if ``arguments`` (for optimum-cli) is None."""

    source: Source
    kind: Kind
    arguments: list[str] | None
    weight_format: str | None

    @property
    def peak_bytes(self) -> int:
        """Memory that it takes to make it."""
        return 0 if self.arguments is None else peak_memory(self.source.weights)

    @property
    def weights_bytes(self) -> int:
        """What its weights will take in the server."""
        if self.arguments is None:
            return sum(size for name, size in self.source.files.items() if name.endswith(".bin"))
        return self.source.weights.parameters * self._bits // 8

    @property
    def space_bytes(self) -> int:
        """Disk that it takes in the repository while it is made."""
        if self.arguments is None:
            return self.source.size_bytes
        return conversion_space(self.source.weights, self._bits)

    @property
    def _bits(self) -> int:
        return COMPRESSED_BITS[self.weight_format or "fp32"]


@dataclass(frozen=True)
class Job:
    """One export; what could never succeed has been refused already."""

    options: ExportOptions
    name: str
    place: Place
    main: Part
    draft: Part | None
    draft_directory: str | None

    @property
    def parts(self) -> list[Part]:
        """The model, and the draft model if there is one."""
        return [self.main, *([self.draft] if self.draft else [])]

    @property
    def host(self) -> HostMemory:
        """The host that is to serve the model."""
        return HostMemory(self.options.target_memory_gib * GIB)

    @property
    def peak_bytes(self) -> int:
        """Memory that the export takes: one model after the other."""
        return max(part.peak_bytes for part in self.parts)

    def disk_needs(self) -> list[DiskNeed]:
        """Return what the export will write; the former model stays meanwhile, and is on the disk already."""
        needs = [DiskNeed(self.place.target, part.space_bytes, part.source.model.name) for part in self.parts]
        for part in self.parts:
            if part.source.hub is not None:
                from ovms_edge.export.hub import cache_directory, missing_bytes

                needs.append(DiskNeed(cache_directory(), missing_bytes(part.source.hub), "download"))
        return needs

    def expected_memory(self) -> ModelMemory:
        """Return what serving will take, as far as the source tells."""
        weights = sum(part.weights_bytes for part in self.parts)
        per_token = sum(kv_bytes_per_token(part.source.config) for part in self.parts)
        return ModelMemory(weights, per_token, decoder_layers(self.main.source.config))

    def cache_size(self, model: ModelMemory) -> int:
        """Return the graph's cache_size in GiB. Raises EdgeError if none fits the host that is to serve."""
        if self.options.cache_size is not None:
            return self.options.cache_size
        return self._plan(model).cache_size_gib

    def doubts(self, model: ModelMemory) -> str | None:
        """Return why the cache_size that was given does not fit the host that is to serve, or None."""
        if not self.options.cache_size:
            return None
        try:
            self._plan(model)
        except EdgeError as error:
            return str(error)
        return None

    def graph(self, cache_size: int) -> str:
        """Return the text of ``graph.pbtxt``."""
        return render_graph(self.graph_options(cache_size), self.options.ovms_version)

    def graph_options(self, cache_size: int) -> dict[str, Any]:
        """Return the fields that the graph sets."""
        return self.options.graph_options(cache_size, self.draft_directory)

    def _plan(self, model: ModelMemory) -> MemoryPlan:
        return plan_memory(
            model,
            self.host,
            self.options.cache_size,
            ovms_version=self.options.ovms_version,
            kv_precision=self.options.kv_cache_precision,
            device=self.options.target_device,
        )


def prepare(options: ExportOptions) -> Job:
    """Return the export that ``options`` ask for. Raises EdgeError for what could never succeed."""
    found = find_source(options.source_model)
    name = servable_name(options, found)
    check_model_name(name)
    place = Place(options.model_repository_path / name)
    place.check(options.model_repository_path)
    _check_apart(place.target, options, found)
    check_mergeable(options.config_file, name, place.target, options.ovms_version)
    render_graph(options.graph_options(_ANY_CACHE_SIZE), options.ovms_version)
    main = _part(options, examine(found, options.revision), options.quantization())
    check_for_kind(options, main.kind, main.source.model.name)
    draft, draft_directory = _draft(options)
    return Job(options, name, place, main, draft, draft_directory)


def _check_apart(target: Path, options: ExportOptions, source: SourceModel) -> None:
    """Raise EdgeError if the model would lie in its source, or the configuration in the model."""
    here, config = target.resolve(), options.config_file.resolve()
    if source.directory is not None and source.directory in here.parents:
        raise EdgeError(
            f"{target} is inside the source {source.directory}", "choose another --model_repository_path"
        )
    if here in (config, *config.parents):
        raise EdgeError(
            f"{target} is where {options.config_file} is to be",
            "choose another --model_name or --config_file_path",
        )


def servable_name(options: ExportOptions, source: SourceModel) -> str:
    """Return the name that the model is served by."""
    if options.model_name:
        return options.model_name
    return source.default_model_name(None if source.looks_converted else options.chosen_weight_format)


def _draft(options: ExportOptions) -> tuple[Part | None, str | None]:
    if options.draft_source_model is None:
        return None, None
    # without --extra_quantization_params: they are for the other model
    part = _part(options, examine(find_source(options.draft_source_model)), ())
    if part.kind != "LM":
        raise UsageError(
            f"draft model {part.source.model.name} is a vision-language model", "name a language model"
        )
    name = options.draft_model_name or part.source.model.name
    check_model_name(name, "--draft_model_name")
    return part, name.replace("/", "-")


def _part(options: ExportOptions, source: Source, quantization: tuple[str, ...]) -> Part:
    if not source.converted:
        arguments = options.optimum_arguments(source.kind, quantization)
        return Part(source, source.kind, arguments, options.chosen_weight_format)
    held = held_weight_format(source.directory) if source.hub is None else None
    return Part(source, source.kind, None, agreed_weight_format(options, held, source.model.name))


def agreed_weight_format(options: ExportOptions, held: str | None, source: str) -> str | None:
    """Return the format of weights that are OpenVINO IR already: ``held``, or what the caller says they are.

    Raises UsageError if the two differ: only a conversion makes another.
    """
    if options.weight_format is not None and held not in (None, options.weight_format):
        raise UsageError(
            f"{source} is OpenVINO IR with {held} weights, --weight-format is {options.weight_format}",
            "leave it out, or name the PyTorch model that it was made of",
        )
    return held or options.weight_format


def staged_weight_format(part: Part, options: ExportOptions, directory: Path) -> str | None:
    """Return the weight format of a part that is in ``directory`` now."""
    if part.arguments is not None:
        return part.weight_format
    return agreed_weight_format(options, held_weight_format(directory), part.source.model.name)
