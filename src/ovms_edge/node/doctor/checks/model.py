"""Release and model files: there, whole, the release's own, readable for user 5000."""

from __future__ import annotations

from collections.abc import Callable

from ovms_edge.errors import EdgeError
from ovms_edge.node.container import SERVER_UID
from ovms_edge.node.doctor.checks.words import activate, fetch_again, some
from ovms_edge.node.doctor.evidence import Evidence, ModelEvidence
from ovms_edge.node.doctor.findings import Check, Trouble, Unknown, Verdict


def _of_model(look: Callable[[Evidence, ModelEvidence], Verdict]) -> Callable[[Evidence], Verdict]:
    def check(evidence: Evidence) -> Verdict:
        return look(evidence, evidence.model) if evidence.model else Unknown("nothing is active")

    return check


def _present(evidence: Evidence, model: ModelEvidence) -> Verdict:
    if model.release is not None:
        return None
    found = f"{evidence.active.release if evidence.active else 'the release'} is not on this node any more"
    return Trouble(found, "staged, since it is active", fetch_again(evidence))


def _manifest(evidence: Evidence, model: ModelEvidence) -> Verdict:
    if not isinstance(model.release, EdgeError):
        return None
    return Trouble(model.release.reason, "the manifest that was signed", fetch_again(evidence))


def _signature(_evidence: Evidence, model: ModelEvidence) -> Verdict:
    if model.signature is None:
        return None
    return Trouble(
        model.signature.reason, "signed by a key that this node trusts", f"{model.signature.remedy}"
    )


def _revoked(_evidence: Evidence, model: ModelEvidence) -> Verdict:
    if not model.revoked:
        return None
    return Trouble(
        f"what serves was {model.revoked}", "a release that is not withdrawn", "ovms-node rollback"
    )


def _generation(evidence: Evidence, model: ModelEvidence) -> Verdict:
    if model.exists:
        return None
    return Trouble(f"no {model.generation}", "the directory that OVMS sees as /models", activate(evidence))


def _missing(evidence: Evidence, model: ModelEvidence) -> Verdict:
    if not model.missing:
        return None
    return Trouble(
        f"missing: {some(model.missing)}", f"every file in {model.directory}", fetch_again(evidence)
    )


def _truncated(evidence: Evidence, model: ModelEvidence) -> Verdict:
    if not model.misshapen:
        return None
    return Trouble(some(model.misshapen), "the sizes of the manifest", fetch_again(evidence))


def _damaged(evidence: Evidence, model: ModelEvidence) -> Verdict:
    if not model.damaged:
        return None
    return Trouble(some(model.damaged), "an OpenVINO IR from <?xml to </net>", fetch_again(evidence))


def _replaced(evidence: Evidence, model: ModelEvidence) -> Verdict:
    if not model.replaced:
        return None
    found = f"not the release's own file: {some(model.replaced)}"
    return Trouble(
        found, f"links to {evidence.active.release if evidence.active else 'the release'}", activate(evidence)
    )


def _permissions(_evidence: Evidence, model: ModelEvidence) -> Verdict:
    if not model.unreadable:
        return None
    found = f"user {SERVER_UID} cannot read {some(model.unreadable)}"
    return Trouble(found, "files 0644, directories 0755", f"chmod -R a+rX {model.generation}")


def _cache(_evidence: Evidence, model: ModelEvidence) -> Verdict:
    if not model.cache_fault:
        return None
    cache = model.generation.parent.parent / "cache"
    fix = f"install -d -m 0750 -o {SERVER_UID} -g {SERVER_UID} {cache}"
    return Trouble(model.cache_fault, f"writable for user {SERVER_UID}", fix)


RELEASE_CHECKS = (
    Check(
        "release.present", "error", "the active release on this node", _of_model(_present), ("state.active",)
    ),
    Check("release.manifest", "error", "its manifest", _of_model(_manifest), ("release.present",)),
    Check(
        "release.signature",
        "error",
        "does its signature hold today",
        _of_model(_signature),
        ("release.manifest", "node.signers"),
    ),
    Check("release.revoked", "error", "the last status list seen", _of_model(_revoked), ("release.present",)),
)
CHECKS = (
    Check(
        "model.generation",
        "error",
        "the directory mounted at /models",
        _of_model(_generation),
        ("state.active",),
    ),
    Check(
        "model.missing",
        "error",
        "every file of the manifest",
        _of_model(_missing),
        ("model.generation", "release.manifest"),
    ),
    Check("model.truncated", "error", "sizes of all files", _of_model(_truncated), ("model.missing",)),
    Check(
        "model.damaged", "error", "beginning and end of each .xml", _of_model(_damaged), ("model.truncated",)
    ),
    Check(
        "model.replaced",
        "warning",
        "are files the release's own",
        _of_model(_replaced),
        ("model.damaged", "release.manifest"),
    ),
    Check(
        "model.permissions", "error", "modes for user 5000", _of_model(_permissions), ("model.generation",)
    ),
    Check("model.cache", "error", "the compile cache's owner and mode", _of_model(_cache), ("state.active",)),
)
