# ACPI tables. Included by vmm/Makefile.am: objects need -I of the source folder (vmm/) and of its build folder.
#
# SPDX-License-Identifier: MIT

acpi_sources = \
	acpi/dsdt.S \
	acpi/tables.c

acpi_headers = \
	acpi/acpi.h

acpi_extra = \
	acpi/dsdt.asl

# dsdt.S includes the bytes.
acpi/dsdt.o: acpi/dsdt.aml

acpi/dsdt.aml: $(srcdir)/acpi/dsdt.asl
	@$(MKDIR_P) $(@D)
	@echo "  IASL     $@"
	@$(IASL) -ve -p acpi/dsdt $< >acpi/dsdt.log || { cat acpi/dsdt.log >&2; exit 1; }

CLEANFILES += acpi/dsdt.aml acpi/dsdt.log
