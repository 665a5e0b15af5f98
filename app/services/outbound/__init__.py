"""Send requests to hosts that callers name: at addresses that were checked, and at no other."""
