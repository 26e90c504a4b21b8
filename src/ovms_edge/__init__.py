"""OpenVINO Model Server on fleets of edge hosts."""

__version__ = "0.1.0"
