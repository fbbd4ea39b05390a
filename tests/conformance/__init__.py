"""Conformance with PyTorch's own op database, see ``__main__``."""
