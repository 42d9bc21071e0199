"""The sandbox Marketo."""

from connectors.sandbox.marketo.server import MarketoSandbox

__all__ = ["MarketoSandbox"]
