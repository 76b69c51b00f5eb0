"""An import-linter contract that import-linter lacks: a list of all that a package may import.

A list of what is forbidden would have to name every package there is; the core's wall is a short list of what is allowed.
"""

import sys
from typing import Any

from importlinter import Contract, ContractCheck, fields, output


class OnlyContract(Contract):
    """`source_modules`, submodules included, import themselves, the standard library and `allowed_modules`, and no more.

    `exceptions` are single imports, written "importer -> imported".
    """

    type_name = "only"

    source_modules = fields.SetField(subfield=fields.ModuleField())
    allowed_modules = fields.SetField(subfield=fields.StringField())
    exceptions = fields.SetField(subfield=fields.StringField(), required=False)

    def check(self, graph: Any, verbose: bool) -> ContractCheck:
        exceptions: set[str] = self.exceptions or set()  # type: ignore[assignment]
        offences = []
        for source in sorted(module.name for module in self.source_modules):  # type: ignore[attr-defined]
            allowed: set[str] = {source, *self.allowed_modules}  # type: ignore[misc]
            for importer in sorted({source} | graph.find_descendants(source)):
                for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                    if is_allowed(imported, allowed) or f"{importer} -> {imported}" in exceptions:
                        continue
                    details = graph.get_import_details(importer=importer, imported=imported)
                    lines = ", ".join(str(detail["line_number"]) for detail in details)
                    offences.append(f"{importer} imports {imported} (line {lines})")
        return ContractCheck(kept=not offences, metadata={"offences": offences})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for offence in check.metadata["offences"]:
            output.print_error(f"- {offence}", bold=False)
        output.new_line()


def is_allowed(imported: str, allowed: set[str]) -> bool:
    if imported.partition(".")[0] in sys.stdlib_module_names:
        return True
    return any(imported == module or imported.startswith(f"{module}.") for module in allowed)
