"""The rows that new tokens begin with: copies and means of the rows of old tokens."""
