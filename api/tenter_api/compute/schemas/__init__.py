"""JSON Schemas of the Compute API's requests, a module a resource."""
