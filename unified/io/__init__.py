"""Files: what a program holds, out to the disk and back on any backend, without pickle.

``un.save`` and ``un.load`` take any nesting of plain data and Tensors, ``un.save_model`` and ``un.load_model`` a
Module with its structure, ``save_async`` writes in the background, and :class:`Checkpointer` keeps a training run.
``un.load`` also reads PyTorch's ``.pt`` and Keras's ``.keras`` and ``.weights.h5`` files.
"""

from unified.io.background import save_async
from unified.io.checkpointer import Checkpointer, Restored
from unified.io.files import load, save
from unified.io.modules import load_model, save_model
from unified.io.registered import register

__all__ = ["Checkpointer", "Restored", "load", "load_model", "register", "save", "save_async", "save_model"]
