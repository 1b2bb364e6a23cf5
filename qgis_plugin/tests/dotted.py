"""Names of QGIS and Qt in the plugin's source, looked up in their modules."""

import ast
import importlib


def chain(node):
    """The names of `A.b.c` from the left; nothing for what hangs on another expression than a name."""
    names = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return [node.id, *names] if isinstance(node, ast.Name) else []


def unknown_names(source, package):
    """Names that a source file takes from `package` without success, such as an enum's value of another version.

    Only names are followed that were imported from the package, and attributes of them for as long as they are
    classes, enums or modules; methods of objects cannot be seen in the source.
    """
    tree = ast.parse(source)
    imported = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and f"{node.module}.".startswith(f"{package}."):
            for alias in node.names:
                imported[alias.asname or alias.name] = (node.module, alias.name)
    unknown = []
    for node in ast.walk(tree):
        first, *rest = chain(node) or [None]
        if first in imported:
            module, name = imported[first]
            found = look_up(importlib.import_module(module), name)
            for attribute in rest:
                found = found if found is None else getattr(found, attribute, None)
            if found is None:
                unknown.append(f"line {node.lineno}: {module}: {'.'.join([name, *rest])}")
    return unknown


def look_up(module, name):
    """A name of a module, which may be a module itself."""
    return getattr(module, name, None) or importlib.import_module(f"{module.__name__}.{name}")
