"""An import-linter contract that import-linter lacks: a list of all that a package may import.

A list of what is forbidden would have to name every package there is; the core's wall is a short list of what is allowed.
"""

import sys
from typing import Any

from importlinter import Contract, ContractCheck, fields, output
from importlinter.application import contract_utils
from importlinter.domain.contract import AlertLevel


class OnlyContract(Contract):
    """`source_modules`, their submodules included, import themselves, the standard library and `allowed_modules` only."""

    type_name = "only"

    source_modules = fields.SetField(subfield=fields.ModuleField())
    allowed_modules = fields.SetField(subfield=fields.StringField())
    ignore_imports = fields.SetField(subfield=fields.ImportExpressionField(), required=False)
    unmatched_ignore_imports_alerting = fields.EnumField(AlertLevel, default=AlertLevel.ERROR)

    def check(self, graph: Any, verbose: bool) -> ContractCheck:
        warnings = contract_utils.remove_ignored_imports(
            graph=graph,
            ignore_imports=self.ignore_imports,  # type: ignore[arg-type]
            unmatched_alerting=self.unmatched_ignore_imports_alerting,  # type: ignore[arg-type]
        )
        offences = []
        for source in sorted(module.name for module in self.source_modules):  # type: ignore[attr-defined]
            allowed = {source, *self.allowed_modules}  # type: ignore[misc]
            for importer in sorted({source} | graph.find_descendants(source)):
                for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                    if not self._is_allowed(imported, allowed):
                        details = graph.get_import_details(importer=importer, imported=imported)
                        lines = ", ".join(str(detail["line_number"]) for detail in details)
                        offences.append(f"{importer} imports {imported} (line {lines})")
        return ContractCheck(kept=not offences, warnings=warnings, metadata={"offences": offences})

    @staticmethod
    def _is_allowed(imported: str, allowed: set[str]) -> bool:
        if imported.split(".")[0] in sys.stdlib_module_names:
            return True
        return any(imported == module or imported.startswith(f"{module}.") for module in allowed)

    def render_broken_contract(self, check: ContractCheck) -> None:
        for offence in check.metadata["offences"]:
            output.print_error(f"- {offence}", bold=False)
        output.new_line()
