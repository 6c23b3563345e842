"""The journal protocol, rules W1 to T1, as sans-I/O steps over a small log."""
