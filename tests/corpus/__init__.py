"""Every LLM and VLM graph of OVMS's own documentation, demos and tests, against the checker."""
