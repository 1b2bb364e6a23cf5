"""Modules in which every name exists: enough to import a module, not to run it."""


class Answering(type):
    """A class whose unknown attributes are classes like it, so that `Qgis.MessageLevel.Warning` is something."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        made = Answering(name, (Anything,), {})
        setattr(cls, name, made)
        return made

    def __or__(cls, other):
        return cls

    def __ror__(cls, other):
        return cls


class Anything(metaclass=Answering):
    """Take any argument."""

    def __init__(self, *args, **kwargs):
        pass


def names(module):
    """`__getattr__` of a module in which every public name is a class."""
    made = {}

    def look_up(name):
        if name.startswith("__"):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return made.setdefault(name, Answering(name, (Anything,), {"__module__": module}))

    return look_up
