"""What OVMS checks of a graph, one concern a file."""
