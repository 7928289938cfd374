"""What `import promptmlr` offers, and what it costs."""

import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

import promptmlr

MODULES = ["promptmlr", *(module.name for module in pkgutil.walk_packages(promptmlr.__path__, "promptmlr."))]


@pytest.mark.parametrize("name", MODULES)
def test_all_is_sorted_and_exists(name: str) -> None:
    module = import_module(name)
    if not hasattr(module, "__all__"):
        own = [n for n, value in vars(module).items() if getattr(value, "__module__", None) == name]
        assert not own, "only a package that is nothing but a folder does without __all__"
        return
    names = module.__all__
    # CONSTANTS, then Classes, then functions: the order that ruff keeps
    assert list(names) == sorted(names, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    assert len(set(names)) == len(names)
    for public in names:
        assert hasattr(module, public), public


def test_public_names_are_those_of_the_readme() -> None:
    assert promptmlr.__all__ == [
        "METHODS",
        "MultiLabelRecognizer",
        "create_recognizer",
        "functional",
        "load_backbone",
        "load_run",
        "scenes",
    ]
    assert set(promptmlr.__all__) <= set(dir(promptmlr))
    assert promptmlr.__version__
    with pytest.raises(AttributeError, match="has no attribute 'load_backbon'"):
        _ = promptmlr.load_backbon


def test_importing_promptmlr_loads_nothing_heavy() -> None:
    code = (
        "import promptmlr, sys; print([n for n in ('torch', 'open_clip', 'pandas', 'matplotlib') if n in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
