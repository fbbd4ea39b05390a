"""placeholder"""
class TorchCompiler:
    def is_traced(self, native): return False
