"""What a graph's options mean, on this host, with this model, in this OVMS."""
