"""Token lists to blocks of equal length."""
