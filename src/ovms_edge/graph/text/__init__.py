"""Protobuf's text format: read as OVMS reads it, with places, with and without a schema."""
