"""``graph.pbtxt`` read, checked, mended and explained, as each OVMS version would take it."""
