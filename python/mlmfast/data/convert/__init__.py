"""Block stores to other formats, and token lists of other formats to block stores."""
