"""A store as a whole machine: a disk of its own, a boot loader, a real kernel, real reboots."""
