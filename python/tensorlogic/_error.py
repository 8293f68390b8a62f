"""The one exception of the package."""


class Error(RuntimeError):
    """A model, input or file was refused.

    Attributes:
        kind: "invalid argument", "not found", "input/output", "bad file", "bad model", "unsupported", "limit", "script", "internal".
        where: the place, such as "resnet.mlpackage: op 'conv_3'"; may be empty.
    """

    def __init__(self, message: str, kind: str = "", where: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.where = where
