#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""ports.py - a free port for a program that cannot choose and report its own; as a command it prints one.

Tests run side by side: the ports are taken at random from below the range from which the kernel serves outgoing
connections and port 0, so nothing else takes one between the look and the start of the program.
"""
import random
import socket

FIRST, LAST = 10240, 32000


def is_free(port):
    """Nobody listens there on 127.0.0.1, by TCP or UDP."""
    with socket.socket() as t, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
        try:
            t.bind(("127.0.0.1", port))
            u.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port():
    """A port that is free for TCP and UDP now."""
    while True:
        port = random.SystemRandom().randint(FIRST, LAST)
        if is_free(port):
            return port


if __name__ == "__main__":
    print(free_port())
