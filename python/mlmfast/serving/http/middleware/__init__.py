"""What every HTTP request passes: connection, body, keys, access log."""
