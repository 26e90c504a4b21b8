"""The depot: a CNCF registry over TLS with a password."""

from __future__ import annotations

import base64
import hashlib
import ssl
import urllib.error
import urllib.request
from pathlib import Path

from ovms_edge.errors import EdgeError

from . import containers, files, images, keys, made
from .console import Console
from .containers import docker
from .settings import Settings
from .shell import run, wait_until

_READY_SECONDS = 30.0
_TRUST = Path("/etc/docker/certs.d")
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
)


def container(settings: Settings) -> str:
    return f"{settings.name}-depot"


def volume(settings: Settings) -> str:
    return f"{settings.name}-depot"


def ensure(settings: Settings, console: Console) -> None:
    """A depot that answers over TLS and takes the lab's password."""
    directory = settings.home / "depot"
    files.write(directory / "config.yml", (settings.project / "lab/images/depot/config.yml").read_text())
    _write_credentials(settings)
    recipe = images.tree_digest(
        directory / "config.yml", directory / "server.pem", directory / "htpasswd"
    ) + str(containers.image_id(images.depot_image(settings)))
    digest = hashlib.sha256(recipe.encode()).hexdigest()
    state = containers.states(settings).get(container(settings))
    if state is not None and _inputs(settings) != digest:
        docker("rm", "--force", container(settings))
        state = None
    if state is None:
        _run(settings, digest)
        console.say(f"depot started at {settings.depot_url}")
    elif state != "running":
        docker("start", container(settings))
        console.say(f"depot started again at {settings.depot_url}")
    wait_until(lambda: _answers(settings), _READY_SECONDS, lambda: _dead(settings))


def _run(settings: Settings, digest: str) -> None:
    directory = settings.home / "depot"
    docker(
        "run", "--detach", "--name", container(settings), *containers.labels(settings),
        "--label", f"{containers.INPUTS_LABEL}={digest}",
        "--network", settings.name, "--ip", settings.depot_address, "--network-alias", "depot.lab",
        "--hostname", "depot", "--restart", "unless-stopped", "--read-only", "--cap-drop", "ALL",
        "--security-opt", "no-new-privileges",
        *(word for name in ("config.yml", "htpasswd", "server.pem", "server.key")
          for word in ("--volume", f"{directory / name}:/etc/ovms-depot/{name}:ro")),
        "--volume", f"{volume(settings)}:/var/lib/depot", images.depot_image(settings),
    )  # fmt: skip


def _inputs(settings: Settings) -> str:
    return docker(
        "inspect",
        "--format",
        f'{{{{index .Config.Labels "{containers.INPUTS_LABEL}"}}}}',
        container(settings),
    ).strip()


def _write_credentials(settings: Settings) -> None:
    """The password in the three shapes that are read: Docker's config.json twice, and htpasswd's bcrypt."""
    user, password = keys.login(settings)
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    document = {"auths": {settings.depot_registry: {"auth": auth}}}
    files.write_json(settings.home / "depot" / "credentials.json", document, 0o600)
    files.write_json(settings.home / "docker" / "config.json", document, 0o600)
    htpasswd = settings.home / "depot" / "htpasswd"
    if not htpasswd.exists():
        hashed = docker(
            "run",
            "--rm",
            "--interactive",
            "--network",
            "none",
            images.depot_image(settings),
            "htpasswd",
            "-inB",
            user,
            stdin=password,
        )
        files.write(htpasswd, hashed.strip() + "\n", 0o600)


def _request(settings: Settings, path: str, method: str = "GET") -> urllib.request.Request:
    user, password = keys.login(settings)
    request = urllib.request.Request(f"{settings.depot_url}{path}", method=method)  # noqa: S310 - our own https URL
    request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())
    request.add_header("Accept", _MANIFESTS)
    return request


def _open(settings: Settings, request: urllib.request.Request) -> str | None:
    """The response's content digest ('' if it has none), or None for 404."""
    context = ssl.create_default_context(cafile=str(keys.depot_ca(settings)))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(request, timeout=5) as response:
            return response.headers.get("Docker-Content-Digest") or ""
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise EdgeError(
            f"the depot answers {error.code} to {request.selector}",
            "run lab/lab down --all and set it up again",
        ) from error


def _answers(settings: Settings) -> bool:
    try:
        return _open(settings, _request(settings, "/v2/")) is not None
    except OSError:
        return False


def _dead(settings: Settings) -> EdgeError:
    said = run(["docker", "logs", "--tail", "5", container(settings)])
    return EdgeError(
        f"the depot does not answer at {settings.depot_url}: {said.strip()}", "run lab/lab restart depot"
    )


def has(settings: Settings, repository: str, tag: str) -> str | None:
    """The digest of ``repository:tag`` in the depot, or None."""
    return _open(settings, _request(settings, f"/v2/{repository}/manifests/{tag}", "HEAD"))


def host_trust(settings: Settings) -> Path:
    """Where this machine's engine looks for the depot's CA."""
    return _TRUST / settings.depot_registry / "ca.crt"


def registries(settings: Settings) -> set[str]:
    """HOST:PORT of this lab's depot, now and under any OVMS_LAB_SUBNET that it had before."""
    before = (path for path in made.noted(settings) if path.is_relative_to(_TRUST))
    return {settings.depot_registry, *(path.parent.name for path in before)}


def trust_on_host(settings: Settings) -> None:
    path, ca = host_trust(settings), keys.depot_ca(settings).read_text()
    if path.is_file() and path.read_text() != ca:
        _remove_trust(path)  # of a lab that is gone: the address is ours
    made.note(settings, path)
    files.write(path, ca)


def distrust_on_host(settings: Settings) -> None:
    """Remove our CA; ``made.remove`` does not where it was put before it was on record."""
    path, ours = host_trust(settings), keys.depot_ca(settings)
    if path.is_file() and ours.is_file() and path.read_text() == ours.read_text():
        _remove_trust(path)


def _remove_trust(path: Path) -> None:
    path.unlink()
    for directory in (path.parent, path.parent.parent):
        if directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()
