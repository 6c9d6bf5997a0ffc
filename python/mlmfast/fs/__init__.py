"""Files: paths, atomic writes, staging folders, locks, the cache folder."""
