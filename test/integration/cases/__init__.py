"""The cases of 20-protocol.py; see harness.py."""
