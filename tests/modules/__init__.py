"""PyTorch's database of Modules as the oracle: the names we lack, its inputs as ours, one Module's comparison."""
