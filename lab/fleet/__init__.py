"""A fleet of store hosts on one machine. Standard library only: it runs before anything is installed."""
