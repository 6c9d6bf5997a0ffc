"""What a process runs on: cores, threads, prefetching, versions."""
