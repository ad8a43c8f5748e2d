"""Show annotations and docstrings as a reader expects them, where Griffe reads them otherwise."""

import re
from typing import Any

from griffe import Attribute, Expr, ExprSubscript, ExprTuple, Extension, Function, Object

EXAMPLE = re.compile(r"^Example:[ ]*$", re.MULTILINE)
ROLE = re.compile(r":(?:class|func|meth|mod):(?=`)")


def put_shapes_in_quotes(annotation: Any) -> None:
    """Write the shapes of jaxtyping as they are in the code: Float[Tensor, "batch latent"].

    A string within an annotation is read as a forward reference. "batch" then is the name of a class, and loses its
    quotes; "batch latent" is no expression, and keeps them. The space of " batch" is there for linters only.
    """
    if not isinstance(annotation, Expr):
        return
    for part in annotation.iterate(flat=False):
        if part is not annotation:  # a name is its own only part
            put_shapes_in_quotes(part)
    if not isinstance(annotation, ExprSubscript) or not isinstance(annotation.slice, ExprTuple):
        return
    if str(getattr(annotation.left, "canonical_path", "")).startswith("jaxtyping."):
        kind, shape = annotation.slice.elements
        annotation.slice.elements = [kind, '"' + str(shape).strip("'\" ") + '"']


class AsWritten(Extension):
    """Look at everything that is read."""

    def on_function_instance(self, *, func: Function, **kwargs: Any) -> None:
        """Mend the annotations of a function."""
        put_shapes_in_quotes(func.returns)
        for parameter in func.parameters:
            put_shapes_in_quotes(parameter.annotation)

    def on_attribute_instance(self, *, attr: Attribute, **kwargs: Any) -> None:
        """Mend the annotation of an attribute, and the value of a name for a shape."""
        put_shapes_in_quotes(attr.annotation)
        put_shapes_in_quotes(attr.value)

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Leave of a Sphinx role what it is about; read one example as code, as Griffe does with several."""
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub("Examples:", ROLE.sub("", obj.docstring.value))
