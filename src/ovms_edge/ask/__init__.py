"""``ovms-edge ask``: one question to one server."""
