"""Git keeps no empty folders, and coremltools refuses a package whose manifest names a missing one: takes such items out of the
manifests below this folder. Run it after a make.py."""
import json
from pathlib import Path

for manifest in sorted(Path(__file__).parent.rglob("Manifest.json")):
    data = json.loads(manifest.read_text())
    items = data["itemInfoEntries"]
    kept = {k: v for k, v in items.items() if any(p.is_file() for p in [manifest.parent / "Data" / v["path"], *(manifest.parent / "Data" / v["path"]).rglob("*")])}
    if len(kept) < len(items):
        data["itemInfoEntries"] = kept
        manifest.write_text(json.dumps(data, indent=4) + "\n")
        print(manifest.parent.name)
