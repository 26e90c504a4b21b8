"""What is wrong with this node, and how to mend it: evidence is collected once, checks are pure."""
