"""Files at URLs: object stores and web servers, through fsspec."""
