"""`make docs`: updates the generated parts of the pages, and the JSON Schema of contracts."""

from pathlib import Path

from docs.generate.contract_schema import SCHEMA_FILE, contract_schema
from docs.generate.pages import render_page

for page in sorted(Path(__file__).parents[1].glob("*.md")):
    text = page.read_text()
    if (new := render_page(text)) != text:
        page.write_text(new)
        print(f"docs/{page.name} updated")
if SCHEMA_FILE.read_text() != (schema := contract_schema()):
    SCHEMA_FILE.write_text(schema)
    print(f"{SCHEMA_FILE.name} updated")
