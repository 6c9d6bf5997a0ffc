"""Block stores to the formats of others, and token lists of others to block stores."""
