"""What is configured, loaded and served (v2025.4.1 src/modelmanager.cpp, mediapipe_internal/)."""

from __future__ import annotations

import logging
import threading
import time
from enum import Enum
from pathlib import Path

from ovms_standin import config, graph, metrics
from ovms_standin.config import Configuration, GraphEntry
from ovms_standin.metrics import Metrics
from ovms_standin.options import Options
from ovms_standin.servable import Servable
from ovms_standin.status import StatusCode, StatusError

logger = logging.getLogger("modelmanager")
_WAIT_FOR_LOADED_SECONDS = 0.5
_FATAL_AT_START = {
    StatusCode.CONFIG_FILE_INVALID,
    StatusCode.JSON_INVALID,
    StatusCode.METRICS_REST_PORT_MISSING,
    StatusCode.INVALID_METRICS_FAMILY_NAME,
}


class State(Enum):
    """Internal state of a graph."""

    BEGIN = 1
    RELOADING = 2
    FAILED = 3
    AVAILABLE = 4
    RETIRED = 5

    @property
    def shown(self) -> tuple[str, str]:
        """State and error code as the REST API gives them."""
        return _SHOWN[self]


_SHOWN = {
    State.BEGIN: ("LOADING", "OK"),
    State.RELOADING: ("LOADING", "OK"),
    State.FAILED: ("LOADING", "FAILED_PRECONDITION"),
    State.AVAILABLE: ("AVAILABLE", "OK"),
    State.RETIRED: ("END", "OK"),
}


class Definition:
    """One graph by name. ``state`` and ``servable`` change under ``changed``."""

    def __init__(self, entry: GraphEntry) -> None:
        self.entry = entry
        self.state = State.BEGIN
        self.servable: Servable | None = None
        self.graph_digest = ""
        self.changed = threading.Condition()

    def validate(self, options: Options) -> None:
        """Load what the entry says; raises StatusError, and is FAILED then."""
        try:
            try:
                text = self.entry.graph_file.read_text(encoding="utf-8")
                self.graph_digest = config.digest(self.entry.graph_file)
            except (OSError, UnicodeDecodeError) as error:
                logger.error(
                    "Failed to open mediapipe graph definition: %s, file: %s",
                    self.entry.name,
                    self.entry.graph_file,
                )
                raise StatusError(StatusCode.FILE_INVALID, str(self.entry.graph_file)) from error
            node = graph.check(text, self.entry.name, self.entry.base_path)
            logger.info("Initializing Visual Language Model Continuous Batching servable")
            servable = Servable(node, options)
        except StatusError as error:
            logger.error("Loading of graph %s failed: %s: %s", self.entry.name, error.code.name, error)
            self._become(State.FAILED, None)
            raise
        self._become(State.AVAILABLE, servable)
        logger.info("Mediapipe: %s is available", self.entry.name)

    def reload(self, entry: GraphEntry, options: Options) -> None:
        """Drop what is loaded, then load ``entry``: OVMS keeps nothing to go back to."""
        logger.info("Reloading mediapipe graph: %s", entry.name)
        self._become(State.RELOADING, None)
        self.entry = entry
        self.validate(options)

    def retire(self) -> None:
        self._become(State.RETIRED, None)

    def reload_required(self, entry: GraphEntry) -> bool:
        if self.state is State.RETIRED or entry != self.entry:
            return True
        try:
            return config.digest(entry.graph_file) != self.graph_digest
        except OSError:
            return True

    def wait_for_servable(self) -> Servable:
        """Return the servable, waiting half a second if it is being loaded; raises StatusError."""
        deadline = time.monotonic() + _WAIT_FOR_LOADED_SECONDS
        with self.changed:
            while self.servable is None:
                if self.state is State.RETIRED:
                    raise StatusError(StatusCode.MEDIAPIPE_DEFINITION_NOT_LOADED_ANYMORE)
                left = deadline - time.monotonic()
                if self.state is State.FAILED or left <= 0:
                    raise StatusError(StatusCode.MEDIAPIPE_DEFINITION_NOT_LOADED_YET)
                self.changed.wait(left)
            return self.servable

    def _become(self, state: State, servable: Servable | None) -> None:
        with self.changed:
            before, self.servable, self.state = self.servable, servable, state
            self.changed.notify_all()
        if before is not None:
            before.retire()


class Manager:
    """Loads and reloads; ``ready`` once the first load is over, whatever came of it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.metrics = Metrics()
        self.ready = False
        self._definitions: dict[str, Definition] = {}
        self._models: dict[str, Path] = {}
        self._loading = threading.RLock()
        self._config_digest = ""
        self._last_error: StatusError | None = None
        self._metrics_read = False

    def start(self) -> None:
        """Load for the first time; raises StatusError for what ends the process."""
        try:
            if self.options.config_path is not None:
                self._load_config(self.options.config_path)
            elif self.options.model_path is not None:
                self._load_single(self.options.model_name, self.options.model_path)
        except StatusError as error:
            if error.code in _FATAL_AT_START:
                raise
        self.ready = True
        if self.options.poll_seconds and self.options.config_path is not None:
            threading.Thread(target=self._watch, args=(self.options.config_path,), daemon=True).start()

    def states(self) -> dict[str, State | None]:
        """Return the state of each graph, None for what was taken for a classic model, by name."""
        shown: dict[str, State | None] = dict.fromkeys(self._models)
        shown.update({name: definition.state for name, definition in self._definitions.items()})
        return dict(sorted(shown.items()))

    def servable(self, name: str) -> Servable:
        """Return what serves ``name``; raises StatusError."""
        definition = self._definitions.get(name)
        if definition is None:
            raise StatusError(StatusCode.MEDIAPIPE_DEFINITION_NAME_MISSING)
        return definition.wait_for_servable()

    def reload(self) -> None:
        """Answer ``POST /v1/config/reload``; raises StatusError with the status of what failed."""
        file = self.options.config_path
        if file is None:
            return
        with self._loading:
            try:
                changed = config.digest(file) != self._config_digest
            except OSError as error:
                raise StatusError(StatusCode.CONFIG_FILE_TIMESTAMP_READING_FAILED) from error
            if changed or self._last_error is not None:
                self._load_config(file)
            self._check_models()

    def _check_models(self) -> None:
        for path in self._models.values():
            if not path.is_dir():
                raise StatusError(StatusCode.PATH_INVALID, str(path))

    def _watch(self, file: Path) -> None:
        logger.info("Started model manager thread")
        while True:
            time.sleep(self.options.poll_seconds)
            with self._loading:
                try:
                    if config.digest(file) != self._config_digest:
                        self._load_config(file)
                except OSError:
                    logger.debug("Config file not found or cannot open.")
                except StatusError as error:
                    logger.debug("Reload failed: %s", error)

    def _load_single(self, name: str, path: Path) -> None:
        self._set_metrics(None)
        entry = config.find_graph(GraphEntry(name, path, path / "graph.pbtxt"))
        self._apply(Configuration((entry,), {}, None) if entry else Configuration((), {name: path}, None))

    def _load_config(self, file: Path) -> None:
        """Read and apply the file; raises the first StatusError, after doing all that can be done."""
        with self._loading:
            try:
                self._config_digest = config.digest(file)
            except OSError as error:
                logger.debug("%s", error)
            try:
                configuration = config.read(file)
                if not self._metrics_read:
                    self._set_metrics(configuration)
                self._apply(configuration)
            except StatusError as error:
                self._last_error = error
                raise
            self._last_error = None

    def _set_metrics(self, configuration: Configuration | None) -> None:
        monitoring = configuration.metrics if configuration else None
        options = self.options
        if monitoring is not None and options.metrics_enable:
            logger.error("Metrics configuration duplicated in configuration file and CLI parameters")
            raise StatusError(StatusCode.CONFIG_FILE_INVALID)
        if monitoring is not None:
            enabled, listed = monitoring["enable"], monitoring.get("metrics_list")
        else:
            enabled, listed = options.metrics_enable, options.metrics_list or None
        if enabled and not options.rest_port:
            raise StatusError(StatusCode.METRICS_REST_PORT_MISSING)
        self.metrics.families = metrics.families(enabled, listed)
        self._metrics_read = True

    def _apply(self, configuration: Configuration) -> None:
        first_error: StatusError | None = None
        self._models = dict(configuration.models)
        for name, path in self._models.items():
            logger.warning("No version found for model in path: %s", path)
            logger.warning("%s has no readable graph.pbtxt and was taken for a classic model", name)
        names = {entry.name for entry in configuration.graphs}
        for name, definition in self._definitions.items():
            if name not in names and definition.state is not State.RETIRED:
                definition.retire()
        done: set[str] = set()
        for entry in configuration.graphs:
            if entry.name in done:
                logger.warning(
                    "Duplicated mediapipe names: %s defined in config file. Only first graph will be loaded.",
                    entry.name,
                )
                continue
            done.add(entry.name)
            try:
                self._load_graph(entry)
            except StatusError as error:
                first_error = first_error or error
        if first_error is not None:
            raise first_error

    def _load_graph(self, entry: GraphEntry) -> None:
        known = self._definitions.get(entry.name)
        if known is not None:
            if known.reload_required(entry):
                known.reload(entry, self.options)
            return
        if entry.name in self._models:
            logger.error("Mediapipe graph name: %s is already occupied by model or pipeline.", entry.name)
            raise StatusError(StatusCode.MEDIAPIPE_GRAPH_NAME_OCCUPIED, entry.name)
        self.metrics.define(entry.name)
        definition = Definition(entry)
        try:
            definition.validate(self.options)
        finally:  # nothing is listed while its first load runs
            self._definitions = {**self._definitions, entry.name: definition}
