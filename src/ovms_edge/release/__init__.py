"""Releases: built from an exported model, signed, published to a depot, inspected."""
