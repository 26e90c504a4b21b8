"""The image that OVMS runs from."""

from __future__ import annotations

import re
from collections.abc import Callable

from ovms_edge.node.docker import split_reference
from ovms_edge.node.doctor.checks.words import activate
from ovms_edge.node.doctor.evidence import Evidence
from ovms_edge.node.doctor.findings import Check, Trouble, Unknown, Verdict
from ovms_edge.node.slots import container_name
from ovms_edge.node.state import Deployment

_SITE = "set ovms_server_image to one image by tag and digest, then run site.yml"
_VERSION = re.compile(r"^v?(\d+\.\d+(?:\.\d+)?)(-.*)?$")


def _of_image(look: Callable[[Evidence, Deployment, str], Verdict]) -> Callable[[Evidence], Verdict]:
    def check(evidence: Evidence) -> Verdict:
        active = evidence.active
        return (
            look(evidence, active, str(active.settings.get("image")))
            if active
            else Unknown("nothing is active")
        )

    return check


def _tag(reference: str) -> str:
    return split_reference(reference.partition("@")[0])[1]


def _pinned(_evidence: Evidence, _active: Deployment, image: str) -> Verdict:
    if "@sha256:" in image or "latest" not in _tag(image):
        return None
    return Trouble(f"{image} is whatever was pushed last", "a tag that names a version", _SITE)


def _version(_evidence: Evidence, active: Deployment, image: str) -> Verdict:
    named, wanted = _VERSION.match(_tag(image)), str(active.settings.get("ovms_version"))
    if named is None or named[1] == wanted:
        return None
    found = f"{image}, with a graph for OVMS {wanted}"
    return Trouble(found, f"an image of OVMS {wanted}", _SITE)


def _kind(_evidence: Evidence, active: Deployment, image: str) -> Verdict:
    named = _VERSION.match(_tag(image))
    device = str(active.settings.get("device"))
    if named is None or device == "CPU" or "gpu" in (named[2] or "") or "openvino/model_server" not in image:
        return None
    return Trouble(f"{image} has no GPU runtime", f"an image with -gpu: the graph asks for {device}", _SITE)


def _present(evidence: Evidence, _active: Deployment, image: str) -> Verdict:
    if evidence.engine.error:
        return Unknown("Docker Engine does not answer")
    if evidence.engine.image is not None:
        return None
    return Trouble(f"{image} is not on this host", "the image that serves", f"docker pull {image}")


def _digest(evidence: Evidence, active: Deployment, image: str) -> Verdict:
    seen, here = evidence.container, evidence.engine.image
    if seen is None or here is None:
        return Unknown("no container or no image to compare")
    if seen.get("Image") == here.get("Id"):
        return None
    found = f"the container runs {str(seen.get('Image'))[:19]}, {image} is {str(here.get('Id'))[:19]}"
    fix = f"docker rm -f {container_name(active.slot)} && {activate(evidence)}"
    return Trouble(found, "the same digest", fix)


CHECKS = (
    Check("image.pinned", "warning", "does its tag name a version", _of_image(_pinned), ("state.active",)),
    Check(
        "image.version",
        "error",
        "its tag against the version of the graph",
        _of_image(_version),
        ("image.pinned",),
    ),
    Check("image.device", "error", "has it a GPU runtime", _of_image(_kind), ("image.pinned",)),
    Check(
        "image.present",
        "warning",
        "is it on this host",
        _of_image(_present),
        ("engine.running", "state.active"),
    ),
    Check(
        "image.digest",
        "error",
        "what the container runs against what the name means",
        _of_image(_digest),
        ("image.present", "container.spec"),
    ),
)
