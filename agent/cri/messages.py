"""CRI v1 messages, re-exported so that the stubs' package is named in one place."""

from cri_api.v1 import api_pb2 as pb

__all__ = ["pb"]
