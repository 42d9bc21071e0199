"""A stand-in for Salesforce that behaves as the real one does in the ways that hurt."""

from connectors.sandbox.salesforce.server import SalesforceSandbox

__all__ = ["SalesforceSandbox"]
