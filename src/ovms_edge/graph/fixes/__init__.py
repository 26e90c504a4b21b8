"""What a graph meant, one kind of mistake a file."""
