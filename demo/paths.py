"""Where things are. Texts show them relative to the root, from where `make demo` runs."""
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The demo's own: logs, pid files, esmd's state, what the function noted. Emptied at each start.
FOLDER = ROOT / ".demo"
VENV = ROOT / ".venv"
CONFIG = ROOT / "demo" / "esmd.yaml"
# The same with the label of the table's stream filled in: what esmd is given.
FILLED_CONFIG = FOLDER / "esmd.yaml"
ESMD_LOG = FOLDER / "esmd.log"
# One line of JSON for each invocation, written by function.py.
NOTES = FOLDER / "invocations.jsonl"


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))
