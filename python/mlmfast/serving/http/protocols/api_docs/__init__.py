"""The pages and the OpenAPI document that describe all routes."""
