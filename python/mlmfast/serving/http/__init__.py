"""Fill-mask over HTTP: one service, several protocols."""
