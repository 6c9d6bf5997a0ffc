"""The middleware: connections, bodies, API keys, the access log."""
