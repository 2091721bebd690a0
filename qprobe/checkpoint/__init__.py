"""Reads checkpoints: config.json and safetensors headers into a Model; never unpickles."""

from __future__ import annotations

from qprobe.checkpoint.reader import read_model as read_model
