"""A stand-in for OpenVINO Model Server 2025.4.1 with one kind of servable: a vision-language model."""

OVMS_VERSION = "2025.4.1"
