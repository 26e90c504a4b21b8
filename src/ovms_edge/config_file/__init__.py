"""``config.json`` of OVMS on the builder: checked before OVMS sees it, and merged."""
