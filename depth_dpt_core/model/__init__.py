"""The dense prediction transformer: encoder, reassemble, fusion, head."""
