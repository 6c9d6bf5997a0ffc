"""What a server tells of itself: log, metrics, statistics and traces."""
