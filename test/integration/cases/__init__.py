# SPDX-License-Identifier: Apache-2.0
"""The cases of 20-protocol.py; see harness.py."""
