"""Sockets that listen, and the connections that they accept."""
